/** What surrounds the messages: side bars, header, state of the connection, notices. It draws and decides nothing. */

import { avatar, byID, el, hue, icon, reconcile } from "./dom.js";

/** @typedef {import("./model.js").Conversation} Conversation */

export class Shell {
  #wasOnline = false;
  #timers = { typing: 0, toast: 0, banner: 0, countdown: 0 };

  /**
   * @param {string} me
   * @param {{ select(key: string, andWrite?: boolean): void, close(conversation: Conversation): void, changed(): void }} owner
   */
  constructor(me, owner) {
    this.me = me;
    this.owner = owner;
    byID("me-name").textContent = me;
    byID("me-avatar").textContent = me.slice(0, 1).toUpperCase();
    byID("me-avatar").classList.add(`hue-${hue(me)}`);
    byID("app").hidden = false;
    for (const id of ["sidebar", "people"]) byID(`${id}-open`).addEventListener("click", () => this.openDrawer(id));
    for (const id of ["sidebar-close", "people-close", "shade"]) {
      byID(id).addEventListener("click", () => this.openDrawer(null));
    }
  }

  /** On narrow screens one of the side bars at a time lies over the messages. @param {"sidebar" | "people" | null} which */
  openDrawer(which) {
    const opened = ["sidebar", "people"].find((id) => byID(id).classList.contains("open"));
    for (const id of ["sidebar", "people"]) {
      byID(id).classList.toggle("open", id === which);
      byID(`${id}-open`).setAttribute("aria-expanded", String(id === which));
    }
    byID("shade").hidden = which === null;
    byID("room").inert = which !== null && getComputedStyle(byID("shade")).display !== "none";
    if (which) byID(`${which}-close`).focus();
    else if (opened && byID(opened).contains(document.activeElement)) byID(`${opened}-open`).focus();
  }

  /** @param {import("./roost.js").State} state */
  showState({ state, node, retryAt, error }) {
    const root = document.documentElement.dataset;
    root.state = state;
    root.node = node ?? "";
    clearTimeout(this.#timers.banner);
    clearInterval(this.#timers.countdown);
    const isOnline = state === "online";
    byID("status-text").textContent = isOnline ? node : state === "closed" ? "Disconnected" : "Connecting…";
    byID("status").title = isOnline ? `Connected to ${node}` : "";
    if (isOnline) {
      if (!byID("banner").hidden) announce("Connected again");
      byID("banner").hidden = true;
      this.#wasOnline = true;
      return;
    }
    const tell = () => {
      const seconds = Math.ceil(((retryAt ?? 0) - Date.now()) / 1000);
      byID("banner-text").textContent =
        state === "closed" ? `Disconnected: ${error?.message ?? "signed out"}.`
        : state === "waiting" && seconds > 0 ? `No connection. Trying again in ${seconds} s.`
        : this.#wasOnline ? "Reconnecting…" : "Connecting…";
      byID("retry-now").hidden = state === "connecting";
      byID("retry-now").textContent = state === "closed" ? "Connect again" : "Try now";
    };
    tell();
    if (!byID("banner").hidden) {
      this.#timers.countdown = setInterval(tell, 500);
      return;
    }
    this.#timers.banner = setTimeout(() => { // what heals at once need not be told
      byID("banner").hidden = false;
      announce(byID("banner-text").textContent);
      this.#timers.countdown = setInterval(tell, 500);
    }, 700);
  }

  toast(text) {
    byID("toast").textContent = text;
    byID("toast").hidden = false;
    clearTimeout(this.#timers.toast);
    this.#timers.toast = setTimeout(() => (byID("toast").hidden = true), 6_000);
  }

  /** @param {{ current: Conversation | null, shown: Conversation[], isAtEnd: boolean }} page */
  draw({ current, shown, isAtEnd }) {
    const unread = new Map(shown.map((conversation) => [conversation, conversation.unread(this.me)]));
    this.#drawList("rooms", shown.filter(({ isDirect }) => !isDirect), current, unread);
    this.#drawList("direct", shown.filter(({ isDirect }) => isDirect), current, unread);
    byID("direct-title").hidden = !shown.some(({ isDirect }) => isDirect);
    const here = current ? (unread.get(current) ?? 0) : 0;
    const all = [...unread.values()].reduce((sum, count) => sum + count, 0);
    byID("elsewhere").hidden = all - here === 0;
    byID("elsewhere").textContent = brief(all - here);
    byID("title").textContent = current ? (current.isDirect ? current.name : `# ${current.name}`) : "No room";
    document.title = `${all > 0 ? `(${brief(all)}) ` : ""}${current ? `${current.name} – ` : ""}Roost`;
    byID("text").placeholder = current?.isDirect ? `Message to ${current.name}` : `Message in ${current?.name ?? ""}`;
    byID("latest").hidden = !current || isAtEnd;
    byID("latest-text").textContent = here > 0 ? `${brief(here)} new` : "Latest";
    this.#drawPeople(current);
    this.#drawTyping(current);
  }

  /** @param {string} id @param {Conversation[]} conversations @param {Conversation | null} current @param {Map<Conversation, number>} unread */
  #drawList(id, conversations, current, unread) {
    reconcile(byID(id), conversations, {
      key: ({ key }) => key,
      signature: (conversation) => `${conversation === current}|${unread.get(conversation)}`,
      make: (conversation) => {
        const { key, name, isDirect } = conversation;
        const count = unread.get(conversation);
        const badge = count > 0
          ? el("span", { class: "badge" }, el("span", { text: brief(count) }), el("span", { class: "hidden", text: " unread" }))
          : null;
        const action = isDirect ? `Close the conversation with ${name}` : `Leave ${name}`;
        return el("li", { class: count > 0 ? "unread" : "", "data-room": key },
          el("button", { class: "go", type: "button", title: name, "aria-current": conversation === current ? "page" : null,
            onclick: () => this.owner.select(key) },
            isDirect ? avatar(name) : el("span", { class: "hash", "aria-hidden": "true", text: "#" }),
            el("span", { class: "name", text: name }), badge),
          el("button", { class: "icon-button leave", type: "button", "aria-label": action, title: action,
            onclick: () => this.owner.close(conversation) }, icon("close")));
      },
    });
  }

  /** @param {Conversation | null} current */
  #drawPeople(current) {
    const isRoom = current !== null && !current.isDirect;
    byID("app").classList.toggle("no-people", !isRoom);
    byID("people-open").hidden = !isRoom;
    if (!isRoom) return;
    const names = [...current.people].sort((a, b) => (a === this.me ? -1 : b === this.me ? 1 : a < b ? -1 : 1));
    byID("count").textContent = byID("people-count").textContent = current.count.toLocaleString();
    const typing = new Set(current.typists(Date.now()));
    reconcile(byID("members"), names, {
      key: (name) => name,
      signature: (name) => String(typing.has(name)),
      make: (name) => el("li", { "data-user": name },
        el("button", { class: "go", type: "button", title: name === this.me ? "Notes to yourself" : `Write to ${name}`,
          onclick: () => this.owner.select(`@${name}`, true) },
          avatar(name), el("span", { class: "name", text: name }),
          name === this.me ? el("span", { class: "quiet", text: "you" }) : null,
          typing.has(name) ? el("span", { class: "dots", "aria-label": "is typing" }, el("i"), el("i"), el("i")) : null)),
    });
    const more = current.count - current.people.size;
    byID("members-more").hidden = more <= 0;
    byID("members-more").textContent = `and ${more.toLocaleString()} more`;
  }

  /** @param {Conversation | null} current */
  #drawTyping(current) {
    const names = current?.typists(Date.now()) ?? [];
    const line = byID("typing");
    line.textContent = names.length === 0 ? ""
      : names.length === 1 ? `${names[0]} is typing…`
      : names.length <= 3 ? `${new Intl.ListFormat("en").format(names)} are typing…`
      : "Several people are typing…";
    clearTimeout(this.#timers.typing);
    if (names.length > 0) {
      const next = Math.min(...current.typing.values()) - Date.now();
      this.#timers.typing = setTimeout(() => this.owner.changed(), next + 20);
    }
  }
}

const brief = (count) => (count > 99 ? "99+" : String(count));

/** Tells screen readers. @param {string} text */
export function announce(text) {
  byID("announcer").textContent = text.slice(0, 300);
}
