/**
 * Roost's client for browsers, and for Node where a WebSocket class is passed in. No dependencies.
 *
 *     import { connect } from "https://chat.example/roost.js";
 *     const chat = connect({ user: "alice" });
 *     chat.on("message", (message) => console.log(message.user, message.text));
 *     await chat.join("general", { history: 20 });
 *     await chat.send("general", "Hello");
 *
 * It keeps one session alive for as long as you want it: it reconnects to whichever node answers, resumes every room
 * where it stood, sends again what was not acknowledged, and hands each message over once and in order.
 */

/** @typedef {string} Position `EPOCH-SEQ`; compare with {@link comparePositions}, never as text. */
/**
 * @typedef {object} Message
 * @property {string} room
 * @property {Position} position
 * @property {number} time Milliseconds since 1970, by the store's clock. Sort by position, not by time.
 * @property {string} user
 * @property {string} [id] Given by the sender.
 * @property {string} [to] On the sender's own copy of a direct message: whom it went to.
 * @property {string} [text]
 * @property {unknown} [data]
 */
/** @typedef {{ room: string, id: string, position: Position, time: number, duplicate?: boolean }} Ack */
/**
 * @typedef {object} Joined
 * @property {string} room
 * @property {Position} position The room's head; a replay is over with the message at it.
 * @property {boolean} resumed Whether this membership goes on from before a lost connection.
 * @property {boolean} [recovered] False: something after the position resumed from is lost; what is left follows.
 * @property {string[]} [members] Up to 100 users; an inbox has none.
 * @property {number} [count]
 */
/**
 * @typedef {object} Welcome
 * @property {string} session
 * @property {string} user
 * @property {string} node
 * @property {number} heartbeat
 * @property {number} max_message_bytes
 * @property {{ rooms: number, messages_per_second: number, history: number }} limits
 */
/**
 * @typedef {object} State
 * @property {"connecting" | "online" | "waiting" | "closed"} state
 * @property {string} [node] The node connected to.
 * @property {number} [retryAt] While waiting: when the next attempt is made, as of `Date.now()`.
 * @property {RoostError} [error] When closed otherwise than by `close()`: why.
 */
/**
 * @typedef {object} Events
 * @property {State} state
 * @property {Welcome} welcome
 * @property {Message} message
 * @property {Joined} joined At every joining and resuming.
 * @property {{ room: string, error: RoostError }} removed A room that could not be resumed, or that a moderator took this user out of.
 * @property {{ room: string, user: string, count: number }} user_joined
 * @property {{ room: string, user: string, count: number }} user_left
 * @property {{ room: string, count: number }} count
 * @property {{ room: string, user: string, active: boolean }} typing
 * @property {{ room: string, user: string, data: unknown }} signal
 * @property {{ room: string, after: Position, before?: Position }} gap What stood between is lost.
 * @property {{ room: string, to: Position }} rewind Drop what came after `to`; what survived comes again.
 * @property {RoostError} error What concerns no promise, and refusals that are tried again (with `retryAfter`).
 */
/**
 * @typedef {object} Options
 * @property {string} [user] Who to be on nodes without authentication.
 * @property {string | (() => string | Promise<string>)} [token] A function is asked for a fresh one when it is needed.
 * @property {typeof WebSocket} [WebSocket] Another implementation.
 * @property {{ messages?: number, bytes?: number }} [outbox] Bounds of what waits for its ack (1,000; 4 MiB).
 * @property {Clock} [clock] Another clock, for tests.
 * @property {() => number} [random] Another source of jitter, for tests: 0 up to 1.
 */
/**
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(run: () => void, milliseconds: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
/** @typedef {{ type: string, id?: string, room?: string, [field: string]: any }} Frame */
/**
 * @typedef {object} Claim A room that was asked for on a connection and is not there yet.
 * @property {string | null} id What the answer will bear; null while it was refused for now and is to be asked again.
 * @property {boolean} isHolding Messages to the room wait: here they would be refused until it is joined.
 */
/**
 * @typedef {object} Entry
 * @property {Frame} frame
 * @property {number} bytes
 * @property {boolean} wasSent
 * @property {Connection | null} on The connection that carries it and has not refused it.
 * @property {(ack: Ack) => void} resolve
 * @property {(error: RoostError) => void} reject
 */

const START = "0-0";
const ANSWER_WITHIN = 10_000; // pong, and welcome
const REQUEST_WITHIN = 15_000;
const STEADY_AFTER = 5_000; // a connection that lasted so long starts the back-off anew
const SHORTEST_DELAY = 100;
const LONGEST_DELAY = 20_000;

/** Why something was refused: `code` is one of the protocol's, or `closed`, `timeout`, `outbox_full`. */
export class RoostError extends Error {
  /** @param {string} code @param {string} message @param {{ room?: string, id?: string, retryAfter?: number }} [more] */
  constructor(code, message, { room, id, retryAfter } = {}) {
    super(message);
    this.name = "RoostError";
    this.code = code;
    this.room = room;
    this.id = id;
    /** Milliseconds after which trying again makes sense. */
    this.retryAfter = retryAfter;
  }

  /** @param {Frame} frame */
  static from(frame) {
    const { code, message, room, id, retry_after: retryAfter } = frame;
    return new RoostError(code, message ?? code, { room, id, retryAfter });
  }

  get isTemporary() {
    return this.code === "rate_limited" || this.code === "unavailable";
  }
}

/** Orders two positions: negative, 0 or positive. @param {Position} a @param {Position} b */
export function comparePositions(a, b) {
  if (a === b) return 0;
  const [epochA, seqA] = a.split("-").map(BigInt);
  const [epochB, seqB] = b.split("-").map(BigInt);
  if (epochA !== epochB) return epochA < epochB ? -1 : 1;
  return seqA < seqB ? -1 : seqA > seqB ? 1 : 0;
}

/** Whether a user, or a room that is not an inbox, may be called so. @param {string} name */
export function isName(name) {
  return /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(name);
}

/** A new `id` for a message: 128 random bits. (`randomUUID` is missing on pages without TLS.) */
export function newID() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One WebSocket: frames in and out, and a watch over its life, because browsers do not show pings to pages. */
class Connection {
  /** The rooms that are still to be joined here. @type {Map<string, Claim>} */
  claims = new Map();
  /** What the node said first. @type {Welcome | null} */
  welcome = null;
  openedAt = 0;
  #ended = false;
  #timer;
  #heardAt;
  #probedAt = null;
  #heartbeat = null;

  /**
   * @param {WebSocket} socket @param {Clock} clock
   * @param {{ opened(c: Connection): void, received(c: Connection, f: Frame): void, ended(c: Connection, code: number, reason: string): void }} owner
   */
  constructor(socket, clock, owner) {
    this.socket = socket;
    this.clock = clock;
    this.owner = owner;
    this.#heardAt = clock.now();
    this.#watchIn(ANSWER_WITHIN);
    socket.onopen = () => {
      this.openedAt = clock.now();
      owner.opened(this);
    };
    socket.onmessage = (event) => this.#heard(event.data);
    socket.onclose = (event) => this.end(event.code, event.reason);
  }

  /** @param {Frame} frame */
  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Asks for a sign of life now, unless there was one just before. */
  probe() {
    if (this.#heartbeat === null || this.#probedAt !== null || this.clock.now() - this.#heardAt < 1_000) return;
    this.#ping();
  }

  /** Closes in good order, without waiting for the other side. */
  close(code = 1000) {
    if (this.#ended) return;
    this.#detach();
    this.socket.close(code);
  }

  /** Is over, for its owner too: what the socket still does concerns nobody. @param {number} code @param {string} reason */
  end(code, reason) {
    if (this.#ended) return;
    this.#detach();
    this.owner.ended(this, code, reason);
  }

  #detach() {
    this.#ended = true;
    this.clock.clearTimeout(this.#timer);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
  }

  #heard(text) {
    this.#heardAt = this.clock.now();
    this.#probedAt = null;
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame.type === "welcome") {
      this.#heartbeat = (frame.heartbeat || 25) * 1000;
      this.#watchIn(this.#heartbeat);
    }
    this.owner.received(this, frame);
  }

  #watchIn(milliseconds) {
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => this.#look(), milliseconds);
  }

  #look() {
    const now = this.clock.now();
    if (this.#heartbeat === null || (this.#probedAt !== null && now - this.#probedAt >= ANSWER_WITHIN)) {
      this.socket.close();
      this.end(1006, "no answer");
    } else if (this.#probedAt !== null) {
      this.#watchIn(ANSWER_WITHIN - (now - this.#probedAt));
    } else if (now - this.#heardAt >= this.#heartbeat) {
      this.#ping();
    } else {
      this.#watchIn(this.#heartbeat - (now - this.#heardAt));
    }
  }

  #ping() {
    this.#probedAt = this.clock.now();
    this.send({ type: "ping", id: "ping" });
    this.#watchIn(ANSWER_WITHIN);
  }
}

/** A room that this client is in or wants to be in, and how far it has read there. */
class Room {
  /** The position of the last message handed over, null while there is none to resume from. @type {Position | null} */
  position = null;
  /** The one connection whose events count: the last that has answered for this room. @type {Connection | null} */
  source = null;
  /** @type {{ resolve(joined: Joined): void, reject(error: RoostError): void }[]} */
  waiters = [];

  /** @param {string} name @param {{ history?: number, since?: Position, limit?: number }} wish */
  constructor(name, { history, since, limit } = {}) {
    this.name = name;
    this.history = name.startsWith("@") ? undefined : history; // an inbox replays only what follows a position
    this.limit = since === undefined ? undefined : limit; // holds until something of what was missed is here
    this.position = since ?? null;
  }

  /** Whether a `resume` frame can ask for it: a position is all that such a frame carries. */
  get isResumable() {
    return this.position !== null && this.limit === undefined;
  }

  /**
   * Asks for the room with what is missing, or, where it is joined already, for the answer alone.
   * @param {string} id @param {Connection} on @returns {Frame}
   */
  join(id, on) {
    const { name: room, position: since, limit, history } = this;
    if (this.source === on) return { type: "join", id, room };
    return since === null ? { type: "join", id, room, history } : { type: "join", id, room, since, limit };
  }

  /** Notes the answer that the claim on `source` has been waiting for. @param {Connection} source @param {Frame} frame */
  joined(source, frame) {
    this.source = source;
    if (this.position === null) {
      if (!this.history || frame.position === START) this.position = frame.position;
    } else if (frame.recovered === false && comparePositions(frame.position, this.position) < 0) {
      this.position = START; // another log than the one that the position was of
    }
    if (this.position !== null && comparePositions(frame.position, this.position) <= 0) this.limit = undefined;
  }

  /** Whether the message is the first of its position. @param {Message} message */
  isNew(message) {
    if (this.position !== null && comparePositions(message.position, this.position) <= 0) return false;
    this.position = message.position;
    this.limit = undefined;
    return true;
  }

  /** @param {Position} to */
  rewound(to) {
    if (this.position !== null && comparePositions(to, this.position) < 0) this.position = to;
  }
}

/** Messages without an ack, in the order in which they were given. */
class Outbox {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #bytes = 0;
  /** One at a time after a refusal, until all is said: what waits must not be overtaken. */
  #isCareful = false;
  #pause = null;

  constructor({ messages = 1000, bytes = 4 << 20 } = {}, clock) {
    this.limits = { messages, bytes };
    this.clock = clock;
  }

  has(id) {
    return this.#entries.has(id);
  }

  /** @param {string | undefined} id */
  get(id) {
    return this.#entries.get(id);
  }

  get size() {
    return this.#entries.size;
  }

  /** @param {Entry} entry */
  add(entry) {
    if (this.#entries.size >= this.limits.messages || this.#bytes + entry.bytes > this.limits.bytes) return false;
    this.#entries.set(entry.frame.id, entry);
    this.#bytes += entry.bytes;
    return true;
  }

  /** @returns the entry, which is no longer in the box */
  take(id) {
    const entry = this.#entries.get(id);
    if (entry) {
      this.#entries.delete(id);
      this.#bytes -= entry.bytes;
      if (this.#entries.size === 0) this.#isCareful = false;
    }
    return entry;
  }

  /** A message was refused for now: sends it again, and what follows it after it. @param {Entry} entry */
  hold(entry, milliseconds, connection) {
    entry.on = null;
    this.#isCareful = true;
    this.#pause ??= this.clock.setTimeout(() => {
      this.#pause = null;
      this.send(connection());
    }, milliseconds);
  }

  /** Sends what this connection has not carried yet, but to rooms that are not ready there. @param {Connection | null} connection */
  send(connection) {
    if (!connection || this.#pause !== null) return;
    for (const entry of this.#entries.values()) {
      if (connection.claims.get(entry.frame.room)?.isHolding) continue;
      if (entry.on !== connection) {
        connection.send(entry.wasSent ? { ...entry.frame, retry: true } : entry.frame);
        entry.on = connection;
        entry.wasSent = true;
      }
      if (this.#isCareful) return;
    }
  }

  /** @returns all that was in the box */
  empty() {
    this.clock.clearTimeout(this.#pause);
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    return entries;
  }
}

/** A client: one user's session, on one node after the other. */
export class Roost {
  #options;
  #clock;
  #random;
  #url;
  #lastToken;
  /** @type {Map<string, Set<Function>>} */
  #listeners = new Map();
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  #outbox;
  /** @type {Map<string, { frame: Frame, resolve: Function, reject: Function, timer: any, isOver: boolean }>} */
  #requests = new Map();
  #lastRequest = 0;
  /** The connection that everything is sent on. @type {Connection | null} */
  #main = null;
  /** One that is being opened, to be the next main one. @type {Connection | null} */
  #candidate = null;
  /** Former main ones, the oldest first, until all rooms are resumed on the new. @type {Set<Connection>} */
  #formers = new Set();
  /** The one that has asked to be replaced. @type {Connection | null} */
  #leaving = null;
  #isOpening = false;
  /** The page is in the browser's cache of pages left. */
  #isAway = false;
  #attempts = 0;
  #timer = null;
  /** @type {State} */
  #state = { state: "connecting" };
  /** @type {Welcome | null} */
  #welcome = null;

  /** Use {@link connect}. @param {string | URL} url @param {Options} options */
  constructor(url, options = {}) {
    this.#clock = options.clock ?? {
      now: () => Date.now(),
      setTimeout: (run, milliseconds) => setTimeout(run, milliseconds),
      clearTimeout: (timer) => clearTimeout(timer),
    };
    if (options.user !== undefined && !isName(options.user)) {
      throw new RoostError("invalid_user", "a user name is 1 to 128 of A-Z a-z 0-9 . _ : - and begins with a letter or digit");
    }
    this.#url = new URL(url);
    if (options.user !== undefined) this.#url.searchParams.set("user", options.user);
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#outbox = new Outbox(options.outbox, this.#clock);
    globalThis.addEventListener?.("online", this.nudge);
    globalThis.addEventListener?.("pagehide", this.#left);
    globalThis.addEventListener?.("pageshow", this.#cameBack);
    globalThis.document?.addEventListener("visibilitychange", this.#sighted);
    this.#open();
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** What the node said first; null before. */
  get welcome() {
    return this.#welcome;
  }

  /** Who this client is, once a node has said so. */
  get user() {
    return this.#welcome?.user ?? this.#options.user;
  }

  /** How many messages wait for their ack. */
  get unacknowledged() {
    return this.#outbox.size;
  }

  /**
   * Calls `run` at each event of a type.
   * @template {keyof Events} Type
   * @param {Type} type @param {(event: Events[Type]) => void} run @returns {() => void} ends it
   */
  on(type, run) {
    const runs = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, runs.add(run));
    return () => runs.delete(run);
  }

  /**
   * Enters a room, for as long as this client lives or until `leave`. Messages follow as `message` events.
   * @param {string} room
   * @param {{ history?: number, since?: Position, limit?: number }} [wish] the latest so many messages first, or all
   *   after a position (at most `limit`). In a room that this client is in already it has no effect.
   *   What the node refuses for now (`unavailable`, `rate_limited`) is asked again until it is answered for good.
   * @returns {Promise<Joined>}
   */
  join(room, wish) {
    if (this.#state.state === "closed") return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      let entry = this.#rooms.get(room);
      if (!entry) this.#rooms.set(room, (entry = new Room(room, wish)));
      entry.waiters.push({ resolve, reject });
      if (this.#main && !this.#main.claims.has(room)) this.#claim(this.#main, entry);
    });
  }

  /** @param {string} room */
  async leave(room) {
    const entry = this.#rooms.get(room);
    if (!entry) return;
    if (room === `@${this.user}`) throw new RoostError("forbidden", "nobody leaves the own inbox", { room });
    this.#rooms.delete(room);
    for (const waiter of entry.waiters) waiter.reject(new RoostError("closed", "left the room", { room }));
    const main = this.#main;
    if (!main) return;
    main.claims.delete(room);
    this.#outbox.send(main); // what waited for the room is refused now, once and for all
    this.#retireFormers();
    await this.#request({ type: "leave", room }, true).catch((error) => {
      if (error.code !== "not_joined") throw error;
    });
  }

  /**
   * Sends a message, again and again until it is known to be stored, also across connections. To a user: room `@NAME`.
   * @param {string} room @param {string | { text?: string, data?: unknown }} content
   * @param {{ id?: string, retry?: boolean }} [as] an `id` of your own, unique for the user for ever; `retry` when it may have been sent before
   * @returns {Promise<Ack>}
   */
  send(room, content, { id = newID(), retry = false } = {}) {
    const { text, data } = typeof content === "string" ? { text: content } : content;
    /** @type {Frame} */
    const frame = { type: "message", id, room, text: text?.toWellFormed?.() ?? text, data };
    const json = JSON.stringify({ ...frame, retry: true });
    const bytes = new TextEncoder().encode(json).length;
    const most = this.#welcome?.max_message_bytes ?? 16_384;
    const refuse = (code, message) => Promise.reject(new RoostError(code, message, { room, id }));
    if (this.#state.state === "closed") return Promise.reject(closed());
    if (bytes > most) return refuse("message_too_large", `a message has ${most} bytes at most, this one has ${bytes}`);
    if (/[^\\](?:\\\\)*\\ud[89a-f]/.test(json)) return refuse("invalid_message", "half a surrogate pair is not text");
    if (this.#outbox.has(id)) return refuse("invalid_message", "a message with this id is on its way already");
    return new Promise((resolve, reject) => {
      if (!this.#outbox.add({ frame, bytes, wasSent: retry, on: null, resolve, reject })) {
        reject(new RoostError("outbox_full", "too much waits to be sent; try again later", { room, id }));
      } else {
        this.#outbox.send(this.#main);
      }
    });
  }

  /** Tells that the user is typing, or has stopped. Repeat it every few seconds; others forget it after 6. */
  typing(room, active = true) {
    this.#sendNow({ type: "typing", room, active });
  }

  /** Sends what is never stored, now or not at all. @param {string} room @param {unknown} data */
  signal(room, data) {
    this.#sendNow({ type: "signal", room, data });
  }

  /**
   * @param {string} room @param {{ limit?: number, after?: string }} [page]
   * @returns {Promise<{ members: string[], count: number, more: boolean }>}
   */
  members(room, { limit, after } = {}) {
    return this.#request({ type: "members", room, limit, after });
  }

  /**
   * @param {string} room @param {{ before?: Position, after?: Position, limit?: number }} [page]
   * @returns {Promise<{ messages: Message[], more: boolean, recovered?: boolean }>} oldest first
   */
  history(room, { before, after, limit } = {}) {
    return this.#request({ type: "history", room, before, after, limit });
  }

  /** Replaces the token of this session before it expires. @param {string} token */
  auth(token) {
    if (typeof this.#options.token !== "function") this.#options = { ...this.#options, token };
    this.#lastToken = token;
    return this.#main ? this.#request({ type: "auth", token }, true) : Promise.resolve();
  }

  /** Looks at once whether the connection is alive, or reconnects now. Happens by itself when the page comes to sight. */
  nudge = () => {
    if (this.#main) this.#main.probe();
    else if (this.#timer !== null) this.#open(); // otherwise a new connection is on its way
  };

  #sighted = () => {
    if (document.visibilityState === "visible") this.nudge();
  };

  /** Browsers keep pages that were left, with their sockets, for a return: meanwhile the user would seem to be here. */
  #left = () => {
    this.#isAway = true;
    this.#letGo();
    this.#setState({ state: "waiting" });
  };

  #cameBack = () => {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#open();
  };

  /** Ends the session. What is not acknowledged is rejected. */
  close() {
    this.#finish();
  }

  // Connecting

  async #open() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isOpening || this.#isAway || this.#candidate || this.#state.state === "closed") return;
    if (!this.#main) this.#setState({ state: "connecting" });
    this.#isOpening = true;
    try {
      const { token } = this.#options;
      if (token !== undefined) this.#lastToken = typeof token === "function" ? await token() : token;
    } catch (error) {
      this.#emit("error", new RoostError("unauthorized", `no token: ${error}`));
      this.#isOpening = false;
      return this.#openLater();
    }
    this.#isOpening = false;
    if (this.#state.state === "closed" || this.#isAway) return;
    const Socket = this.#options.WebSocket ?? WebSocket;
    const protocols = this.#lastToken === undefined ? ["roost.v1"] : ["roost.v1", `bearer.${this.#lastToken}`];
    try {
      this.#candidate = new Connection(new Socket(this.#url.href, protocols), this.#clock, {
        opened: (connection) => this.#opened(connection),
        received: (connection, frame) => this.#received(connection, frame),
        ended: (connection, code, reason) => this.#ended(connection, code, reason),
      });
    } catch (error) {
      this.#finish(new RoostError("bad_request", `cannot connect: ${error}`));
    }
  }

  #openLater() {
    if (this.#state.state === "closed") return;
    const ceiling = Math.min(LONGEST_DELAY, SHORTEST_DELAY * 2 ** Math.min(this.#attempts++, 16));
    const delay = this.#random() * ceiling;
    this.#openIn(delay);
    if (!this.#main) this.#setState({ state: "waiting", retryAt: this.#clock.now() + delay });
  }

  #openIn(milliseconds) {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#open(), milliseconds);
  }

  #opened(connection) {
    this.#candidate = null;
    if (this.#main) this.#formers.add(this.#main);
    this.#takeOver(connection);
  }

  /** Resumes all rooms, then says again what is unanswered, all without waiting for a word. @param {Connection} connection */
  #takeOver(connection) {
    this.#main = connection;
    const isWanted = (room) => room.source !== connection && (connection.claims.get(room.name)?.id ?? null) === null;
    const wanted = [...this.#rooms.values()].filter(isWanted);
    this.#resume(connection, wanted.filter((room) => room.isResumable));
    for (const room of wanted) if (!room.isResumable) this.#claim(connection, room);
    this.#outbox.send(connection);
    for (const { frame, isOver } of this.#requests.values()) if (!isOver) connection.send(frame);
    this.#retireFormers();
  }

  /** @param {Connection} connection @param {Room[]} rooms */
  #resume(connection, rooms) {
    const most = this.#welcome?.max_message_bytes ?? 16_384;
    let id = this.#nextID();
    let positions = {};
    let bytes = 64;
    const flush = () => bytes > 64 && connection.send({ type: "resume", id, rooms: positions });
    for (const { name, position } of rooms) {
      const more = name.length + position.length + 6;
      if (bytes + more > most) {
        flush();
        id = this.#nextID();
        positions = {};
        bytes = 64;
      }
      positions[name] = position;
      bytes += more;
      connection.claims.set(name, { id, isHolding: false });
    }
    flush();
  }

  /** @param {Connection} connection @param {Room} room @param {Claim} [claim] one that was refused for now */
  #claim(connection, room, claim = { id: null, isHolding: false }) {
    claim.id = this.#nextID();
    connection.claims.set(room.name, claim);
    connection.send(room.join(claim.id, connection));
  }

  /** Former connections serve the rooms that are not on the new one yet, also those refused there for now. */
  #retireFormers() {
    if (this.#main?.claims.size !== 0) return;
    for (const connection of this.#formers) connection.close();
    this.#formers.clear();
  }

  /** The new connection is gone before it had all rooms: the one before it still serves, and another is opened. */
  #fallBack(former) {
    this.#formers.delete(former);
    this.#welcome = former.welcome;
    this.#setState({ state: "online", node: this.#welcome?.node });
    this.#takeOver(former);
    if (!this.#candidate && !this.#isOpening) this.#openLater();
  }

  #ended(connection, code, reason) {
    if (this.#formers.delete(connection)) return;
    if (connection === this.#main) {
      this.#main = null;
      this.#forgiveFailures(connection);
      for (const [id, request] of this.#requests) if (request.isOver) this.#settle(id)?.resolve();
      const former = [...this.#formers].at(-1);
      if (former) return this.#fallBack(former);
      if (this.#candidate || this.#isOpening) this.#setState({ state: "connecting" });
    } else {
      this.#candidate = null;
    }
    if ([1002, 1003, 1007, 1009].includes(code)) {
      this.#finish(new RoostError("closed", `closed with ${code} ${reason}`));
    } else if (code === 1008) {
      this.#reopenWithNewToken(reason);
    } else if (!this.#candidate && !this.#isOpening) {
      this.#openLater();
    }
  }

  /** The back-off begins anew after a connection that has lasted. @param {Connection} connection */
  #forgiveFailures(connection) {
    if (this.#clock.now() - connection.openedAt >= STEADY_AFTER) this.#attempts = 0;
  }

  /** Whoever was turned away comes back with other credentials or not at all. */
  async #reopenWithNewToken(reason) {
    const { token } = this.#options;
    const former = this.#lastToken;
    const fresh = typeof token === "function" ? await Promise.resolve(token()).catch(() => former) : former;
    if (fresh === former) this.#finish(new RoostError("unauthorized", reason || "the session was ended"));
    else this.#openLater();
  }

  #letGo() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    for (const connection of [this.#main, this.#candidate, ...this.#formers]) connection?.close();
    this.#main = this.#candidate = null;
    this.#formers.clear();
  }

  #finish(error) {
    if (this.#state.state === "closed") return;
    globalThis.removeEventListener?.("online", this.nudge);
    globalThis.removeEventListener?.("pagehide", this.#left);
    globalThis.removeEventListener?.("pageshow", this.#cameBack);
    globalThis.document?.removeEventListener("visibilitychange", this.#sighted);
    this.#letGo();
    const waiting = [...this.#outbox.empty(), ...[...this.#rooms.values()].flatMap((room) => room.waiters)];
    this.#rooms.clear();
    for (const id of this.#requests.keys()) waiting.push(this.#settle(id));
    this.#setState({ state: "closed", error });
    for (const { reject } of waiting) reject(error ?? closed());
  }

  // What the node says

  /** @param {Connection} connection @param {Frame} frame */
  #received(connection, frame) {
    switch (frame.type) {
      case "welcome":
        this.#welcome = connection.welcome = /** @type {any} */ (frame);
        this.#setState({ state: "online", node: frame.node });
        return this.#emit("welcome", this.#welcome);
      case "joined":
        return this.#joined(connection, frame);
      case "message":
        if (this.#isFromSource(connection, frame) && this.#rooms.get(frame.room).isNew(frame)) this.#emit("message", frame);
        return;
      case "rewind":
        if (!this.#isFromSource(connection, frame)) return;
        this.#rooms.get(frame.room).rewound(frame.to);
        return this.#emit("rewind", frame);
      case "gap":
      case "user_joined":
      case "user_left":
      case "count":
      case "typing":
      case "signal":
        if (this.#isFromSource(connection, frame)) this.#emit(frame.type, frame);
        return;
      case "ack":
        this.#outbox.take(frame.id)?.resolve(frame);
        return this.#outbox.send(this.#main);
      case "left":
        if (frame.id === undefined) return this.#removed(connection, frame);
        return this.#settle(frame.id)?.resolve(frame);
      case "members":
      case "history":
      case "authenticated":
        return this.#settle(frame.id)?.resolve(frame);
      case "expiring":
        return this.#renew();
      case "reconnect":
        if (connection !== this.#main || connection === this.#leaving) return;
        this.#leaving = connection;
        this.#forgiveFailures(connection);
        this.#openIn(frame.after ?? 0);
        return;
      case "error":
        return this.#refused(connection, frame);
    }
  }

  /** A moderator took this user out of a room; the error before it said why. @param {Connection} connection @param {Frame} frame */
  #removed(connection, frame) {
    if (!this.#isFromSource(connection, frame)) return;
    const { room } = frame;
    const { waiters } = this.#rooms.get(room);
    this.#rooms.delete(room);
    if (waiters.length > 0) {
      // It was joined again before this was heard: the answer to that is the first one now.
      const again = new Room(room);
      again.waiters = waiters;
      this.#rooms.set(room, again);
    } else if (this.#main?.claims.delete(room)) {
      this.#main.send({ type: "leave", room }); // or the new connection's resumption would bring the user back
      this.#outbox.send(this.#main);
      this.#retireFormers();
    }
    this.#emit("removed", { room, error: new RoostError("forbidden", "a moderator took this user out of the room", { room }) });
  }

  /** Only one connection speaks for a room, so that overlapping ones neither double nor hide anything. */
  #isFromSource(connection, frame) {
    return this.#rooms.get(frame.room)?.source === connection;
  }

  #joined(connection, frame) {
    const claim = connection.claims.get(frame.room);
    if (claim && claim.id !== frame.id) return; // an inbox opens by itself before it is resumed
    let room = this.#rooms.get(frame.room);
    if (!room && frame.id === undefined) this.#rooms.set(frame.room, (room = new Room(frame.room)));
    if (!room || (connection !== this.#main && this.#main && room.source === this.#main)) return;
    const isResumed = room.source !== null;
    if (room.source !== connection) room.joined(connection, frame);
    connection.claims.delete(frame.room);
    const joined = { ...frame, resumed: isResumed };
    this.#emit("joined", joined);
    for (const { resolve } of room.waiters.splice(0)) resolve(joined);
    this.#outbox.send(this.#main);
    this.#retireFormers();
  }

  /** @param {Connection} connection @param {Frame} frame */
  #refused(connection, frame) {
    const error = RoostError.from(frame);
    const delay = frame.retry_after ?? 1_000;
    const entry = this.#outbox.get(frame.id);
    if (entry) return this.#refusedMessage(connection, entry, error, delay);
    const request = this.#settle(frame.id);
    if (request) return request.reject(error);
    const refused = [...connection.claims].filter(([room, { id }]) => id === frame.id && (frame.room ?? room) === room);
    if (refused.length > 0 && connection !== this.#main) return; // the new connection has its own answer
    for (const [name, claim] of refused) this.#refusedRoom(connection, this.#rooms.get(name), claim, error, delay);
    if (refused.length === 0 || error.isTemporary) this.#emit("error", error);
    this.#outbox.send(this.#main);
    this.#retireFormers();
  }

  /** @param {Connection} connection @param {Entry} entry @param {RoostError} error @param {number} delay */
  #refusedMessage(connection, entry, error, delay) {
    if (connection !== this.#main || entry.on !== connection) return; // the new connection carries it, and answers too
    const { id, room } = entry.frame;
    const claim = connection.claims.get(room);
    if (error.isTemporary) {
      this.#outbox.hold(entry, delay, () => this.#main);
      return this.#emit("error", error);
    }
    if (error.code === "not_joined" && claim && this.#rooms.get(room).source !== connection) {
      claim.isHolding = true;
      entry.on = null;
    } else {
      this.#outbox.take(id).reject(error);
    }
    this.#outbox.send(connection);
  }

  /** @param {Connection} connection @param {Room} room @param {Claim} claim @param {RoostError} error @param {number} delay */
  #refusedRoom(connection, room, claim, error, delay) {
    const isIn = room.source === connection;
    if (error.isTemporary) {
      claim.id = null;
      claim.isHolding = !isIn;
      return this.#claimLater(connection, room, claim, delay);
    }
    connection.claims.delete(room.name);
    if (!isIn) this.#remove(room, error);
    else for (const { reject } of room.waiters.splice(0)) reject(error);
  }

  #claimLater(connection, room, claim, delay) {
    this.#clock.setTimeout(() => {
      if (this.#main === connection && connection.claims.get(room.name) === claim) this.#claim(connection, room, claim);
    }, delay);
  }

  #remove(room, error) {
    this.#rooms.delete(room.name);
    if (room.source !== null) this.#emit("removed", { room: room.name, error });
    for (const { reject } of room.waiters) reject(error);
  }

  async #renew() {
    const { token } = this.#options;
    if (typeof token !== "function") return;
    try {
      await this.auth(await token());
    } catch (error) {
      this.#emit("error", error instanceof RoostError ? error : new RoostError("unauthorized", `no token: ${error}`));
    }
  }

  // Small parts

  /** Sends what is of no use later. @param {Frame} frame */
  #sendNow(frame) {
    if (!this.#main?.claims.get(frame.room)?.isHolding) this.#main?.send(frame);
  }

  #nextID() {
    return `r${++this.#lastRequest}`;
  }

  /** @param {Frame} frame @param {boolean} isOver whether it is pointless on another connection @returns {Promise<any>} */
  #request(frame, isOver = false) {
    if (this.#state.state === "closed") return Promise.reject(closed());
    const id = this.#nextID();
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        this.#settle(id);
        reject(new RoostError("timeout", `no answer to ${frame.type}`, { id, room: frame.room }));
      }, REQUEST_WITHIN);
      const sent = { ...frame, id };
      this.#requests.set(id, { frame: sent, resolve, reject, timer, isOver });
      this.#main?.send(sent);
    });
  }

  #settle(id) {
    const request = this.#requests.get(id);
    if (!request) return undefined;
    this.#requests.delete(id);
    this.#clock.clearTimeout(request.timer);
    return request;
  }

  #setState(state) {
    this.#state = state;
    this.#emit("state", state);
  }

  #emit(type, event) {
    for (const run of this.#listeners.get(type) ?? []) {
      try {
        run(event);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error); // a listener's bug is not the connection's
      }
    }
  }
}

function closed() {
  return new RoostError("closed", "this client is closed");
}

/** The WebSocket URL of the gateway that serves this module. */
function ownGateway() {
  const url = new URL("ws", import.meta.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

/**
 * Starts a client, which connects by itself and stays so until `close()`.
 * @param {string | URL | Options} [url] of a gateway or load balancer, `wss://HOST/ws`; by default the one that serves this module
 * @param {Options} [options]
 * @returns {Roost}
 */
export function connect(url, options) {
  const isURL = typeof url === "string" || url instanceof URL;
  return new Roost(isURL ? url : ownGateway(), (isURL ? options : url) ?? {});
}
