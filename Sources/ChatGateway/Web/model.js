/** What the page knows: conversations and their messages, and what is remembered over a reload. No DOM here. */

import { comparePositions, isName } from "./roost.js";

/** @typedef {import("./roost.js").Message} Message */
/**
 * @typedef {object} Draft A message of one's own that the log does not show yet.
 * @property {string} id
 * @property {string} text
 * @property {number} time
 * @property {"pending" | "stored" | "failed"} state
 * @property {string} [reason] Why it failed.
 */
/** @typedef {{ after: string | null, text?: string, people?: Map<string, "joined" | "left"> }} Notice */

const MOST_KEPT = 1_000;
const MOST_NOTICES = 40;
const GROUP_WITHIN = 5 * 60_000;

/** Whether this names a conversation: a room, or `@` and a user. @param {string} key */
export const isKey = (key) => isName(key.startsWith("@") ? key.slice(1) : key);

/** A room, or what was said between oneself and one other user (`@bob`). */
export class Conversation {
  /** @type {Message[]} sorted by position, each once */
  messages = [];
  /** @type {Draft[]} */
  drafts = [];
  /** @type {Notice[]} */
  notices = [];
  /** @type {Set<string>} */
  people = new Set();
  count = 0;
  /** Who is typing, until when. @type {Map<string, number>} */
  typing = new Map();
  /** Everything up to here has been seen. @type {string | null} */
  read = null;
  /** Where the line "new" stands: after this position. @type {string | null} */
  divider = null;
  /** The last position when the room was joined. @type {string | null} */
  head = null;
  hasMore = true;
  isLoading = false;
  isOpen = false;
  text = "";

  /** @param {string} key */
  constructor(key) {
    this.key = key;
    this.isDirect = key.startsWith("@");
  }

  get name() {
    return this.isDirect ? this.key.slice(1) : this.key;
  }

  get last() {
    return this.messages.at(-1)?.position ?? null;
  }

  /** @param {Message} message @param {string} me @returns {boolean} whether it is new here */
  add(message, me) {
    let place = this.messages.length;
    while (place > 0) {
      const order = comparePositions(this.messages[place - 1].position, message.position);
      if (order === 0) return false;
      if (order < 0) break;
      place -= 1;
    }
    this.messages.splice(place, 0, message);
    this.typing.delete(message.user);
    if (message.user === me && message.id !== undefined) {
      this.drafts = this.drafts.filter((draft) => draft.id !== message.id);
    }
    return true;
  }

  /** Drops what came after a position. @param {string} to */
  rewind(to) {
    this.messages = this.messages.filter(({ position }) => comparePositions(position, to) <= 0);
    if (this.read !== null && comparePositions(this.read, to) > 0) this.read = to;
    this.notice("A server failed and lost what came after this; what others still held follows.");
  }

  /** Forgets the oldest, which can be loaded again. */
  trim() {
    const surplus = this.messages.length - MOST_KEPT;
    if (surplus <= 0) return;
    this.messages.splice(0, surplus);
    this.hasMore = true;
  }

  /** @param {string} me */
  unread(me) {
    let count = 0;
    for (let place = this.messages.length - 1; place >= 0; place -= 1) {
      const { position, user } = this.messages[place];
      if (this.read !== null && comparePositions(position, this.read) <= 0) break;
      if (user !== me) count += 1;
    }
    return count;
  }

  /** @param {string} text */
  notice(text) {
    this.notices.push({ after: this.last, text });
    this.notices.splice(0, this.notices.length - MOST_NOTICES);
  }

  /** Somebody came or went; who did both since the last message leaves no trace. @param {string} user @param {"joined" | "left"} what */
  presence(user, what) {
    let notice = this.notices.at(-1);
    if (!notice?.people || notice.after !== this.last) {
      this.notices.push((notice = { after: this.last, people: new Map() }));
      this.notices.splice(0, this.notices.length - MOST_NOTICES);
    }
    const before = notice.people.get(user);
    if (before !== undefined && before !== what) notice.people.delete(user);
    else notice.people.set(user, what);
  }

  /** Who is typing now. @param {number} now */
  typists(now) {
    for (const [user, until] of this.typing) if (until <= now) this.typing.delete(user);
    return [...this.typing.keys()];
  }
}

/**
 * @typedef {object} Row One line of the message list.
 * @property {string} key
 * @property {"day" | "divider" | "notice" | "message" | "start"} kind
 * @property {string} [text]
 * @property {Message} [message]
 * @property {boolean} [isOwn]
 * @property {boolean} [isFirst] of its author's group
 * @property {boolean} [isLast]
 * @property {"pending" | "stored" | "failed"} [state]
 * @property {string} [reason]
 */

/** The lines of a conversation, top to bottom. @param {Conversation} conversation @param {string} me @returns {Row[]} */
export function layout(conversation, me) {
  /** @type {Row[]} */
  const rows = [];
  const keys = new Set();
  const notices = conversation.notices.map((notice, index) => ({ ...notice, index }));
  let day = "";
  /** @type {Row | null} */
  let previous = null;
  const put = (row) => {
    while (keys.has(row.key)) row.key += "+";
    keys.add(row.key);
    rows.push(row);
    previous = row.kind === "message" ? row : null;
  };
  const putNotices = (/** @type {(after: string | null) => boolean} */ isDue) => {
    while (notices.length > 0 && isDue(notices[0].after)) {
      const { index, text, people } = notices.shift();
      const line = text ?? sentence(people);
      if (line !== "") put({ key: `notice-${index}`, kind: "notice", text: line });
    }
  };
  const say = (message, state, reason) => {
    const date = dayOf(message.time);
    if (date !== day) put({ key: `day-${date}`, kind: "day", text: date });
    day = date;
    const isOwn = message.user === me;
    const goes = previous?.message;
    const isFirst = goes?.user !== message.user || message.time - goes.time > GROUP_WITHIN;
    if (!isFirst && previous) previous.isLast = false;
    const key = isOwn && message.id !== undefined ? `own-${message.id}` : `at-${message.position}`;
    put({ key, kind: "message", message, isOwn, isFirst, isLast: true, state, reason });
  };

  if (!conversation.hasMore) put({ key: "start", kind: "start", text: conversation.key });
  let isDivided = conversation.divider === null;
  const newestOwn = conversation.messages.findLast(({ user }) => user === me);
  for (const message of conversation.messages) {
    putNotices((after) => after === null || comparePositions(after, message.position) < 0);
    if (!isDivided && message.user !== me && comparePositions(message.position, conversation.divider) > 0) {
      put({ key: "divider", kind: "divider" });
      isDivided = true;
    }
    say(message, message === newestOwn ? "stored" : undefined);
  }
  putNotices(() => true);
  for (const { id, text, time, state, reason } of conversation.drafts) say({ id, text, time, user: me }, state, reason);
  return rows;
}

/** @param {Map<string, "joined" | "left">} people */
function sentence(people) {
  const part = (what) => {
    const names = [...people].filter(([, did]) => did === what).map(([name]) => name);
    if (names.length === 0) return null;
    const shown = names.length > 4 ? [...names.slice(0, 3), `${names.length - 3} others`] : names;
    return `${new Intl.ListFormat("en").format(shown)} ${what}`;
  };
  return ["joined", "left"].map(part).filter(Boolean).join(" · ");
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });
const yearFormat = new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric" });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** @param {number} time */
export const clockOf = (time) => clockFormat.format(time);

/** @param {number} time */
export const momentOf = (time) => fullFormat.format(time);

/** @param {number} time */
function dayOf(time) {
  const date = new Date(time);
  const today = new Date();
  if (date.toDateString() === today.toDateString()) return "Today";
  today.setDate(today.getDate() - 1);
  if (date.toDateString() === today.toDateString()) return "Yesterday";
  return (today.getFullYear() === date.getFullYear() ? dayFormat : yearFormat).format(date);
}

/** What this browser remembers: the last name, and for each name its conversations and how far they were read. */
export class Memory {
  static get name() {
    return read("roost:name");
  }

  static set name(name) {
    write("roost:name", name);
  }

  /** @param {string} user */
  constructor(user) {
    this.place = `roost:user:${user}`;
    const { keys, reads, inbox } = read(this.place) ?? {};
    /** @type {string[] | null} null: never been here */
    this.keys = Array.isArray(keys) ? keys.filter((key) => typeof key === "string" && isKey(key)) : null;
    /** @type {Record<string, string>} */
    this.reads = Object.fromEntries(Object.entries(reads ?? {}).filter(([, position]) => isPosition(position)));
    /** The inbox's head when this browser first saw it. @type {string | null} */
    this.inbox = isPosition(inbox) ? inbox : null;
  }

  /** @param {Conversation[]} conversations */
  save(conversations) {
    this.keys = conversations.filter(({ isOpen }) => isOpen).map(({ key }) => key);
    const known = conversations.filter(({ read, isOpen, isDirect }) => read !== null && (isOpen || isDirect));
    this.reads = Object.fromEntries(known.map(({ key, read }) => [key, read]));
    write(this.place, { keys: this.keys, reads: this.reads, inbox: this.inbox });
  }
}

const isPosition = (value) => typeof value === "string" && /^\d{1,20}-\d{1,20}$/.test(value);

// Storage may be forbidden, full, or hold what somebody else wrote: then nothing is remembered.
function read(place) {
  try {
    return JSON.parse(localStorage.getItem(place) ?? "null");
  } catch {
    return null;
  }
}

function write(place, value) {
  try {
    localStorage.setItem(place, JSON.stringify(value));
  } catch {
    return;
  }
}
