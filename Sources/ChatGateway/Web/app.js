/** The page: asks for a name, then shows one user's rooms and conversations. */

import { connect, isName, newID } from "./roost.js";
import { byID } from "./dom.js";
import { givenToken, keepToken, needsToken, readToken } from "./identity.js";
import { Conversation, Memory, isKey } from "./model.js";
import { Shell, announce } from "./shell.js";
import { Timeline } from "./timeline.js";

const PAGE = 50;
const INBOX_PAGE = 200;
const TYPING_EVERY = 3_000;
const TYPING_LASTS = 6_000;
const NAME_RULES = "It begins with a letter A–Z or a digit, goes on with these and . _ : - and has at most 128 characters.";

class App {
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();
  /** @type {Conversation | null} */
  #current = null;
  #inbox = { oldest: /** @type {string | null} */ (null), hasMore: true, isLoading: false, isLoaded: false };
  #isDrawing = false;
  #typedAt = 0;
  #saving = 0;

  /** @param {string} me @param {string | undefined} gateway @param {string} [token] */
  constructor(me, gateway, token) {
    this.me = me;
    this.memory = new Memory(me);
    const identity = token === undefined ? { user: me } : { token };
    this.chat = gateway ? connect(gateway, identity) : connect(identity);
    this.shell = new Shell(me, {
      select: (key, andWrite) => this.#select(key, andWrite),
      close: (conversation) => this.#close(conversation),
      changed: () => this.#drawAround(),
    });
    this.timeline = new Timeline(me, {
      older: () => this.#loadOlder(),
      endSeen: () => this.#seen(),
      again: (id) => this.#sendAgain(id),
      discard: (id) => this.#discard(id),
      open: (key) => this.#select(key, true),
    });
    this.#listen();
    this.#connectControls();
    this.shell.showState(this.chat.state);
    const remembered = this.memory.keys ?? ["general"];
    for (const key of remembered) this.#enter(key);
    this.#selectFromAddress() || this.#select(remembered[0] ?? null);
  }

  get #shown() {
    return [...this.#conversations.values()].filter(({ isOpen }) => isOpen);
  }

  // From the server

  #listen() {
    const { chat } = this;
    chat.on("state", (state) => {
      this.shell.showState(state);
      this.#draw();
    });
    chat.on("message", (message) => this.#received(message));
    chat.on("joined", (joined) => this.#joined(joined));
    chat.on("user_joined", (event) => this.#presence(event, "joined"));
    chat.on("user_left", (event) => this.#presence(event, "left"));
    chat.on("count", ({ room, count }) => {
      const conversation = this.#conversations.get(room);
      if (conversation) conversation.count = count;
      this.#draw();
    });
    chat.on("typing", ({ room, user, active }) => this.#typing(room.startsWith("@") ? `@${user}` : room, user, active));
    chat.on("gap", ({ room }) => this.#note(room, "Some messages are missing here: the server has lost them."));
    chat.on("rewind", ({ room, to }) => {
      for (const conversation of this.#of(room)) conversation.rewind(to);
      this.#draw();
    });
    chat.on("removed", ({ room, error }) => {
      this.#note(room, `You are no longer in this room: ${error.message}`);
    });
    chat.on("error", (error) => this.shell.toast(explain(error)));
  }

  /** The conversations that a room's events are about: all direct ones live in the own inbox. @param {string} room */
  #of(room) {
    return [...this.#conversations.values()].filter(({ key, isDirect }) => (room.startsWith("@") ? isDirect : key === room));
  }

  #note(room, text) {
    for (const conversation of this.#of(room)) conversation.notice(text);
    this.#draw();
  }

  /** @param {import("./roost.js").Message} message */
  #received(message) {
    const { room, user, to, text } = message;
    const isDirect = room.startsWith("@");
    const key = !isDirect ? room : `@${user === this.me ? (to ?? user) : user}`;
    const conversation = isDirect ? this.#direct(key) : this.#conversations.get(key);
    if (!conversation?.add(message, this.me)) return;
    if (isDirect) conversation.isOpen = true;
    if (message.position === conversation.head) conversation.isLoading = false;
    const isInSight = conversation === this.#current && !document.hidden && this.timeline.isAtEnd;
    if (isInSight) conversation.read = message.position;
    else if (conversation === this.#current && conversation.divider === null && user !== this.me) {
      conversation.divider = conversation.read;
    }
    if (conversation !== this.#current || this.timeline.isAtEnd) conversation.trim();
    if (conversation === this.#current && user !== this.me) announce(`${user}: ${text ?? "data"}`);
    this.#saveSoon();
    this.#draw();
  }

  /** @param {string} key */
  #direct(key) {
    let conversation = this.#conversations.get(key);
    if (!conversation) {
      conversation = new Conversation(key);
      conversation.read = this.memory.reads[key] ?? this.memory.inbox;
      conversation.hasMore = this.#inbox.hasMore;
      this.#conversations.set(key, conversation);
    }
    return conversation;
  }

  /** @param {import("./roost.js").Joined} joined */
  #joined({ room, position, members, count, recovered }) {
    if (room === `@${this.me}`) {
      this.memory.inbox ??= position;
      for (const conversation of this.#of(room)) conversation.read ??= this.memory.inbox;
      if (!this.#inbox.isLoaded) this.#loadInbox();
    }
    const conversation = this.#conversations.get(room);
    if (conversation && !conversation.isDirect) {
      conversation.people = new Set(members);
      conversation.count = count ?? conversation.people.size;
      conversation.read ??= position;
      conversation.head = position;
      if (position === "0-0") conversation.hasMore = false;
      if (count > conversation.people.size) this.#loadMembers(conversation);
    }
    if (recovered === false) this.#note(room, "Some messages from while you were away are no longer on the server.");
    this.#saveSoon();
    this.#draw();
  }

  async #loadMembers(conversation) {
    try {
      const page = await this.chat.members(conversation.key, { limit: 1000 });
      conversation.people = new Set(page.members);
      conversation.count = page.count;
      this.#draw();
    } catch (error) {
      const isShown = () => this.#conversations.get(conversation.key) === conversation;
      if (error.isTemporary) setTimeout(() => isShown() && this.#loadMembers(conversation), patience(error));
    }
  }

  #presence({ room, user, count }, what) {
    const conversation = this.#conversations.get(room);
    if (!conversation) return;
    if (what === "joined") conversation.people.add(user);
    else conversation.people.delete(user);
    if (what === "left") conversation.typing.delete(user);
    conversation.count = count;
    conversation.presence(user, what);
    this.#draw();
  }

  #typing(key, user, active) {
    const conversation = this.#conversations.get(key);
    if (!conversation || user === this.me) return;
    if (active) conversation.typing.set(user, Date.now() + TYPING_LASTS);
    else conversation.typing.delete(user);
    this.#draw();
  }

  // History

  async #loadInbox() {
    const inbox = this.#inbox;
    inbox.isLoaded = true;
    const error = await this.#loadInboxPage();
    if (error?.isTemporary) setTimeout(() => this.#loadInbox(), patience(error));
    else if (error) inbox.isLoaded = false; // the next joining of the inbox brings another attempt
    const isFirstVisit = this.memory.keys === null;
    for (const conversation of this.#conversations.values()) {
      if (conversation.isDirect && (isFirstVisit || conversation.unread(this.me) > 0)) conversation.isOpen = true;
    }
    this.#draw();
  }

  /** One more page of the inbox, which brings older messages to any direct conversation. @returns why there is none */
  async #loadInboxPage() {
    const inbox = this.#inbox;
    if (inbox.isLoading || !inbox.hasMore) return null;
    inbox.isLoading = true;
    try {
      const page = await this.chat.history(`@${this.me}`, { before: inbox.oldest ?? undefined, limit: INBOX_PAGE });
      inbox.oldest = page.messages[0]?.position ?? inbox.oldest;
      inbox.hasMore = page.more && page.messages.length > 0;
      for (const message of page.messages) {
        this.#direct(`@${message.user === this.me ? (message.to ?? message.user) : message.user}`).add(message, this.me);
      }
      for (const conversation of this.#of("@")) conversation.hasMore = inbox.hasMore;
      return null;
    } catch (error) {
      this.shell.toast(`Older messages could not be loaded: ${explain(error)}`);
      return error;
    } finally {
      inbox.isLoading = false;
    }
  }

  async #loadOlder() {
    const conversation = this.#current;
    if (!conversation || conversation.isLoading || this.chat.state.state !== "online") return;
    conversation.isLoading = true;
    if (conversation.isDirect) await this.#loadOlderDirect(conversation);
    else await this.#loadOlderRoom(conversation);
    this.#draw();
  }

  async #loadOlderDirect(conversation) {
    const before = conversation.messages.length;
    let error = null;
    while (conversation.hasMore && conversation.messages.length < before + 10 && !this.#inbox.isLoading && !error) {
      error = await this.#loadInboxPage();
    }
    this.#loadedSoon(conversation, error);
  }

  async #loadOlderRoom(conversation) {
    const before = conversation.messages[0]?.position;
    try {
      const page = await this.chat.history(conversation.key, { before, limit: PAGE });
      for (const message of page.messages) conversation.add(message, this.me);
      conversation.hasMore = page.more && page.messages.length > 0;
      conversation.isLoading = false;
    } catch (error) {
      this.shell.toast(`Older messages could not be loaded: ${explain(error)}`);
      this.#loadedSoon(conversation, error);
    }
  }

  /** Old messages are wanted again in a while: what comes by itself comes first, and what failed is not hurried. */
  #loadedSoon(conversation, error = null) {
    setTimeout(() => {
      conversation.isLoading = false;
      this.#draw();
    }, patience(error));
  }

  // Rooms

  /** Puts a conversation into the side bar and joins it. @param {string} key @returns {Conversation} */
  #enter(key) {
    const conversation = key.startsWith("@") ? this.#direct(key) : (this.#conversations.get(key) ?? new Conversation(key));
    this.#conversations.set(key, conversation);
    if (conversation.isOpen) return conversation;
    conversation.isOpen = true;
    if (conversation.isDirect) return conversation;
    conversation.read = this.memory.reads[key] ?? null;
    conversation.isLoading = true;
    this.chat.join(key, { history: PAGE }).then(() => this.#loadedSoon(conversation), (error) => {
      if (error.code === "closed") return;
      this.shell.toast(`You cannot be in ${key}: ${error.message}`);
      this.#close(conversation);
    });
    return conversation;
  }

  /** @param {Conversation} conversation */
  #close(conversation) {
    conversation.isOpen = false;
    conversation.read = conversation.last ?? conversation.read;
    if (!conversation.isDirect) {
      this.#conversations.delete(conversation.key);
      this.chat.leave(conversation.key).catch((error) => this.shell.toast(error.message));
    }
    if (conversation === this.#current) this.#select(this.#shown[0]?.key ?? null);
    this.#saveSoon();
    this.#draw();
  }

  #selectFromAddress() {
    const key = addressed();
    if (!isKey(key)) return false;
    this.#select(key);
    return true;
  }

  /** @param {string | null} key @param {boolean} [andWrite] whether to put the cursor into the message field */
  #select(key, andWrite = false) {
    const former = this.#current;
    if (former) {
      former.text = byID("text").value;
      former.divider = null;
    }
    this.#current = key === null ? null : this.#enter(key);
    const conversation = this.#current;
    if (conversation && conversation !== former) {
      conversation.divider = conversation.unread(this.me) > 0 ? conversation.read : null;
      byID("text").value = conversation.text;
    }
    if (addressed() !== (key ?? "")) {
      history.pushState(null, "", key === null ? location.pathname + location.search : `#${encodeURIComponent(key)}`);
    }
    byID("messages").hidden = byID("composer").hidden = conversation === null;
    this.shell.openDrawer(null);
    this.#fitText();
    this.#saveSoon();
    this.#draw();
    if (andWrite) byID("text").focus();
  }

  /** The end of the conversation is in sight: it counts as read. */
  #seen() {
    const conversation = this.#current;
    if (conversation && this.timeline.isAtEnd && !document.hidden && conversation.read !== conversation.last) {
      conversation.read = conversation.last ?? conversation.read;
      this.#saveSoon();
    }
    requestAnimationFrame(() => this.#drawAround());
  }

  #saveSoon() {
    this.#saving ||= setTimeout(() => this.#save(), 300);
  }

  #save = () => {
    clearTimeout(this.#saving);
    this.#saving = 0;
    this.memory.save([...this.#conversations.values()]);
  };

  // Writing

  #send() {
    const conversation = this.#current;
    const field = byID("text");
    const text = field.value;
    if (!conversation || text.trim() === "" || this.#roomLeft(text) < 0) return;
    field.value = "";
    this.#typedAt = 0;
    this.#fitText();
    const draft = { id: newID(), text, time: Date.now(), state: /** @type {const} */ ("pending") };
    conversation.drafts.push(draft);
    conversation.divider = null;
    this.#deliver(conversation, draft);
    this.timeline.toEnd();
    this.#draw();
  }

  async #deliver(conversation, draft, retry = false) {
    try {
      await this.chat.send(conversation.key, draft.text, { id: draft.id, retry });
      draft.state = "stored";
    } catch (error) {
      draft.state = "failed";
      draft.reason = error.message;
    }
    this.#draw();
  }

  #sendAgain(id) {
    const draft = this.#current?.drafts.find((draft) => draft.id === id && draft.state === "failed");
    if (!draft) return;
    draft.state = "pending";
    this.#deliver(this.#current, draft, true);
    this.#draw();
  }

  #discard(id) {
    if (!this.#current) return;
    this.#current.drafts = this.#current.drafts.filter((draft) => draft.id !== id);
    this.#draw();
  }

  /** Bytes that a message may still grow by. @param {string} text */
  #roomLeft(text) {
    const frame = { type: "message", id: newID(), room: this.#current?.key, text, retry: true };
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
    return (this.chat.welcome?.max_message_bytes ?? 16_384) - bytes;
  }

  #typed() {
    const text = byID("text").value;
    this.#fitText();
    const key = this.#current?.key;
    if (!key || key === `@${this.me}`) return;
    const isWriting = text.trim() !== "";
    const now = Date.now();
    if (isWriting && now - this.#typedAt >= TYPING_EVERY) {
      this.#typedAt = now;
      this.chat.typing(key, true);
    } else if (!isWriting && this.#typedAt !== 0) {
      this.#typedAt = 0;
      this.chat.typing(key, false);
    }
  }

  #fitText() {
    const field = byID("text");
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight + 2, 180)}px`;
    const left = this.#roomLeft(field.value);
    byID("send").disabled = field.value.trim() === "" || left < 0;
    const hint = byID("room-left");
    hint.hidden = left > 2_000;
    hint.classList.toggle("error", left < 0);
    hint.textContent = left < 0
      ? `${(-left).toLocaleString()} bytes too long: a message has room for about 16 KiB`
      : `${left.toLocaleString()} bytes left`;
  }

  // Controls

  #connectControls() {
    const onSubmit = (id, run) => byID(id).addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    const onClick = (id, run) => byID(id).addEventListener("click", run);
    onSubmit("composer", () => this.#send());
    byID("text").addEventListener("input", () => this.#typed());
    byID("text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    onSubmit("join-form", () => this.#joinTyped());
    byID("join-name").addEventListener("input", () => complain("join", null));
    onClick("latest", () => {
      this.timeline.toEnd();
      this.#seen();
      byID("text").focus();
    });
    onClick("retry-now", () => (this.chat.state.state === "closed" ? location.reload() : this.chat.nudge()));
    onClick("rename", () => {
      Memory.name = null;
      keepToken(null);
      this.#save();
      this.chat.close();
      location.assign(location.pathname);
    });
    addEventListener("keydown", (event) => this.#pressed(event));
    addEventListener("hashchange", () => this.#selectFromAddress());
    addEventListener("pagehide", this.#save);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.#current && this.timeline.isAtEnd) this.#current.divider = null;
      else this.#seen();
      this.#draw();
    });
  }

  #joinTyped() {
    const field = byID("join-name");
    const key = field.value.trim().replace(/^#/, "");
    if (key === "") return field.focus();
    if (!isKey(key)) return complain("join", `“${key.slice(0, 40)}” cannot be a name. ${NAME_RULES}`);
    field.value = "";
    this.#select(key, true);
  }

  #pressed(event) {
    if (event.key === "Escape") {
      this.shell.openDrawer(null);
    } else if (event.altKey && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const shown = this.#sorted();
      const step = event.key === "ArrowDown" ? 1 : shown.length - 1;
      const next = shown[(shown.indexOf(this.#current) + step) % shown.length];
      if (next) this.#select(next.key, true);
    }
  }

  // Showing

  #draw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    const draw = () => {
      this.#isDrawing = false;
      if (this.#current) this.timeline.draw(this.#current);
      this.#drawAround();
    };
    if (document.hidden) setTimeout(draw, 100); // frames are not drawn then
    else requestAnimationFrame(draw);
  }

  #drawAround() {
    this.shell.draw({ current: this.#current, shown: this.#sorted(), isAtEnd: this.timeline.isAtEnd });
  }

  #sorted() {
    const shown = this.#shown;
    return [...shown.filter(({ isDirect }) => !isDirect), ...shown.filter(({ isDirect }) => isDirect)];
  }
}

/** Why something was refused, for a person. @param {import("./roost.js").RoostError} error */
function explain(error) {
  const soon = `It goes on in ${Math.ceil(patience(error) / 1000)} s.`;
  if (error.code === "rate_limited") return `That was too fast for the server. ${soon}`;
  if (error.code === "unavailable") return `The server cannot reach its messages just now. ${soon}`;
  return error.message;
}

/** After how many milliseconds to try again. @param {import("./roost.js").RoostError | null} error */
function patience(error) {
  return Math.max(error?.retryAfter ?? 0, 1_000);
}

/** The conversation that the page's address names, as text of any kind. */
function addressed() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

/** @param {string} form @param {string | null} text */
function complain(form, text) {
  const line = byID(`${form}-error`);
  line.hidden = text === null;
  line.textContent = text ?? "";
  byID(form === "door" ? "name" : `${form}-name`).setAttribute("aria-invalid", String(text !== null));
}

/** Another gateway than the page's own, for demonstrations: on this machine or the page's host only. */
function chosenGateway(text) {
  if (!text || !URL.canParse(text)) return undefined;
  const { protocol, hostname } = new URL(text);
  const isNear = [location.hostname, "localhost", "127.0.0.1", "[::1]"].includes(hostname);
  return isNear && /^wss?:$/.test(protocol) ? text : undefined;
}

function start() {
  const asked = new URLSearchParams(location.search);
  const gateway = chosenGateway(asked.get("gateway"));
  const token = givenToken();
  if (token) {
    new App(token.user, gateway, token.text);
    return;
  }
  if (needsToken()) askForToken(gateway);
  else askForName(asked.get("user"), gateway);
}

/** @param {string | undefined} gateway */
function askForToken(gateway) {
  const field = byID("token");
  byID("door").hidden = false;
  byID("door-form").hidden = true;
  byID("token-form").hidden = false;
  field.focus();
  byID("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = readToken(field.value.trim());
    const line = byID("token-error");
    line.hidden = token !== null;
    line.textContent = "This is no token, or one that has expired.";
    if (!token) return field.focus();
    keepToken(token.text);
    field.value = "";
    byID("door").hidden = true;
    new App(token.user, gateway, token.text);
    byID("text").focus();
  });
}

/** @param {string | null} given @param {string | undefined} gateway */
function askForName(given, gateway) {
  const name = given ?? Memory.name;
  if (typeof name === "string" && isName(name)) {
    new App(name, gateway);
    return;
  }
  const field = byID("name");
  byID("door").hidden = false;
  if (given) {
    field.value = given;
    complain("door", `“${given.slice(0, 40)}” cannot be a name. ${NAME_RULES}`);
  }
  field.focus();
  field.addEventListener("input", () => complain("door", null));
  byID("door-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = field.value.trim();
    if (!isName(chosen)) {
      complain("door", chosen === "" ? "A name is needed." : `“${chosen.slice(0, 40)}” cannot be a name. ${NAME_RULES}`);
      field.focus();
      return;
    }
    Memory.name = chosen;
    byID("door").hidden = true;
    new App(chosen, gateway);
    byID("text").focus();
  });
}

start();
