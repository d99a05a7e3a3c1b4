/** The few DOM helpers that the page needs. Text goes in as text, never as markup. */

/** @param {string} id @returns {any} */
export const byID = (id) => document.getElementById(id);

/**
 * @param {string} tag @param {Record<string, any>} [attributes] `class` and attributes; `text` is the text; `on…` listens
 * @param {...(Node | string | null)} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** @param {string} name of a symbol in the page's sprite */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A round picture of somebody: the first letter, in a colour that belongs to the name. @param {string} name */
export function avatar(name) {
  return el("span", { class: `avatar hue-${hue(name)}`, "aria-hidden": "true", text: name.slice(0, 1).toUpperCase() });
}

/** @param {string} name @returns {number} 0 to 9, always the same for a name */
export function hue(name) {
  let sum = 7;
  for (const unit of name) sum = (sum * 31 + unit.codePointAt(0)) % 9973;
  return sum % 10;
}

/**
 * Makes `parent` show `items`, keeping the nodes of those that have not changed.
 * @template Item
 * @param {Element} parent @param {Item[]} items
 * @param {{ key(item: Item): string, signature(item: Item): string, make(item: Item): HTMLElement }} how
 */
export function reconcile(parent, items, { key, signature, make }) {
  const present = new Map([...parent.children].map((/** @type {any} */ node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const mark = signature(item);
    let node = present.get(name);
    present.delete(name);
    if (node && node.dataset.mark !== mark) {
      const made = make(item);
      const hadFocus = node.contains(document.activeElement);
      const isPlace = node === place;
      node.replaceWith(made);
      if (hadFocus) made.querySelector("button, a")?.focus();
      if (isPlace) place = made;
      node = made;
    }
    node ??= make(item);
    node.dataset.key = name;
    node.dataset.mark = mark;
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of present.values()) node.remove();
}

/** Text with its web addresses as links. @param {string} text @returns {(Node | string)[]} */
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(/https?:\/\/[^\s<>"'`]+/gi)) {
    const address = found[0].replace(/[.,;:!?)\]}]+$/, "");
    if (!URL.canParse(address)) continue;
    parts.push(text.slice(end, found.index));
    parts.push(el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", text: address }));
    end = found.index + address.length;
  }
  parts.push(text.slice(end));
  return parts.filter((part) => part !== "");
}
