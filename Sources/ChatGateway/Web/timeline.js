/** The list of messages: draws a conversation, keeps the reader's place, and knows whether the end is in sight. */

import { avatar, byID, el, linked, reconcile } from "./dom.js";
import { clockOf, layout, momentOf } from "./model.js";

/** @typedef {import("./model.js").Conversation} Conversation */
/** @typedef {import("./model.js").Row} Row */

const NEAR = 48;
const LOAD_WITHIN = 400;

export class Timeline {
  /** @type {Conversation | null} */
  #conversation = null;
  #isAtEnd = true;
  #scroller = byID("scroller");
  #list = byID("messages");

  /**
   * @param {string} me
   * @param {{ older(): void, endSeen(): void, again(id: string): void, discard(id: string): void, open(key: string): void }} owner
   */
  constructor(me, owner) {
    this.me = me;
    this.owner = owner;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#isAtEnd && this.toEnd()).observe(this.#scroller);
  }

  get isAtEnd() {
    return this.#isAtEnd;
  }

  /** @param {Conversation} conversation */
  draw(conversation) {
    const isOther = conversation !== this.#conversation;
    if (isOther) {
      this.#conversation = conversation;
      this.#list.replaceChildren();
      this.#isAtEnd = true;
    }
    const anchor = this.#isAtEnd ? null : this.#anchor();
    reconcile(this.#list, layout(conversation, this.me), {
      key: (row) => row.key,
      signature: ({ message, isFirst, isLast, state, reason, text }) =>
        [message?.position, isFirst, isLast, state, reason, text].join("|"),
      make: (row) => this.#make(row),
    });
    if (isOther && conversation.divider !== null) this.#showDivider();
    else if (anchor) this.#scroller.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
    else this.toEnd();
    if (!anchor || !anchor.node.isConnected) this.#scrolled();
    this.#loadMore();
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#isAtEnd = true;
  }

  /** Puts the first new message into sight, a little below the top. */
  #showDivider() {
    this.toEnd();
    const line = this.#list.querySelector('[data-key="divider"]');
    if (!line) return;
    const room = this.#scroller.getBoundingClientRect();
    const above = room.top + room.height / 4 - line.getBoundingClientRect().top;
    if (above > 0) this.#scroller.scrollTop -= above;
  }

  /** The first line in sight that stays whatever is loaded above it. */
  #anchor() {
    const top = this.#scroller.getBoundingClientRect().top;
    for (const node of this.#list.children) {
      const box = node.getBoundingClientRect();
      if (box.bottom > top && node.classList.contains("message")) return { node, top: box.top };
    }
    return null;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#isAtEnd = scrollHeight - clientHeight - scrollTop <= NEAR;
    this.owner.endSeen();
    this.#loadMore();
  }

  #loadMore() {
    const wants = this.#conversation?.hasMore && !this.#conversation.isLoading;
    if (wants && this.#scroller.scrollTop < LOAD_WITHIN) this.owner.older();
  }

  /** @param {Row} row */
  #make(row) {
    switch (row.kind) {
      case "day":
        return el("li", { class: "day" }, el("span", { text: row.text }));
      case "divider":
        return el("li", { class: "divider" }, el("span", { text: "New messages" }));
      case "notice":
        return el("li", { class: "notice", text: row.text });
      case "start":
        return el("li", { class: "start" }, ...this.#beginning(row.text));
      case "message":
        return this.#message(row);
    }
  }

  /** @param {string} key */
  #beginning(key) {
    if (!key.startsWith("@")) {
      return [el("strong", { text: `# ${key}` }), el("span", { text: "This is where the room begins. Say hello." })];
    }
    const name = key.slice(1);
    const text = name === this.me ? "Notes to yourself: nobody else reads here." : "This is where your conversation begins.";
    return [avatar(name), el("strong", { text: name }), el("span", { text })];
  }

  /** @param {Row} row */
  #message({ message, isOwn, isFirst, isLast, state, reason }) {
    const { user, text, data, time, position } = message;
    const classes = ["message", isOwn && "own", isFirst && "first", isLast && "last", state].filter(Boolean).join(" ");
    const author = isOwn
      ? el("span", { class: "author hidden", text: "You" })
      : el("button", { class: "author", type: "button", dir: "auto", text: user, title: `Write to ${user}`,
          onclick: () => this.owner.open(`@${user}`) });
    const clock = el("time", { datetime: new Date(time).toISOString(), title: momentOf(time), text: clockOf(time) });
    return el("li", { class: classes, "data-position": position, "data-user": user, "data-state": state },
      isOwn ? null : isFirst ? avatar(user) : el("span", { class: "avatar-space" }),
      el("div", { class: "body" },
        isFirst ? el("div", { class: "by" }, author, clock) : null,
        el("div", { class: "line" },
          el("div", { class: `bubble${isBigEmoji(text) ? " big" : ""}`, dir: "auto", title: momentOf(time) },
            ...(text === undefined ? [] : linked(text)),
            data === undefined ? null : el("code", { class: "data", text: JSON.stringify(data, null, 1) }))),
        this.#state(message.id, state, reason)));
  }

  /** @param {string} id @param {Row["state"]} state @param {string} [reason] */
  #state(id, state, reason) {
    switch (state) {
      case "pending":
        return el("div", { class: "state", text: "Sending…" });
      case "stored":
        return el("div", { class: "state", text: "✓", title: "Stored", "aria-label": "Stored" });
      case "failed":
        return el("div", { class: "state failed" }, el("span", { text: `Not sent: ${reason}` }),
          el("button", { class: "link", type: "button", text: "Try again", onclick: () => this.owner.again(id) }),
          el("button", { class: "link", type: "button", text: "Discard", onclick: () => this.owner.discard(id) }));
      default:
        return null;
    }
  }
}

/** @param {string} [text] */
function isBigEmoji(text) {
  return text !== undefined && text.length <= 24 && /^(?:\p{Extended_Pictographic}[\u200d\ufe0f\u{1f3fb}-\u{1f3ff}]*\s*){1,4}$/u.test(text);
}
