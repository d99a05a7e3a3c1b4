/// What the contract tests of `roost.js` say in the page before each of them: a WebSocket whose other end is the test,
/// a clock that the test moves, and a way to compare.
enum FakeGateway {
    static let script = #"""
        const { connect, comparePositions, isName } = await import("/roost.js");

        const failures = [];
        const text = (value) => JSON.stringify(value, (_, part) => (part === undefined ? null : part));
        const expect = (actual, expected, what) => {
          if (text(actual) !== text(expected)) failures.push(`${what}: ${text(actual)} is not ${text(expected)}`);
        };

        /** Lets everything run that waits for nothing but its turn. */
        const turn = () => new Promise((resolve) => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = resolve;
          port2.postMessage(null);
        });

        class FakeSocket {
          static all = [];
          sent = [];
          closedWith = null;
          constructor(url, protocols) {
            Object.assign(this, { url, protocols });
            FakeSocket.all.push(this);
          }
          send(frame) { this.sent.push(JSON.parse(frame)); }
          close(code) { this.closedWith = code ?? "unsaid"; }
          open() { this.onopen?.(); return this; }
          say(...frames) { for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) }); return this; }
          drop(code = 1006, reason = "") { this.onclose?.({ code, reason }); }
          welcome(more = {}) {
            return this.say({ type: "welcome", protocol: 1, session: "s", user: "alice", node: `n${FakeSocket.all.length}`,
              heartbeat: 25, max_message_bytes: 16384, limits: { rooms: 0, messages_per_second: 0, history: 1000 }, ...more });
          }
          of(type) { return this.sent.filter((frame) => frame.type === type); }
          /** Answers what has been asked about a room. */
          joined(room, position, more = {}) {
            const asked = this.sent.findLast((frame) => frame.room === room && frame.type === "join" || frame.rooms?.[room]);
            return this.say({ type: "joined", id: asked.id, room, position, members: ["alice"], count: 1, ...more });
          }
        }
        const socket = () => FakeSocket.all.at(-1);

        class FakeClock {
          time = 1_000_000;
          waiting = [];
          now = () => this.time;
          setTimeout = (run, milliseconds) => {
            const timer = { run, at: this.time + milliseconds };
            this.waiting.push(timer);
            return timer;
          };
          clearTimeout = (timer) => { this.waiting = this.waiting.filter((other) => other !== timer); };
          async pass(milliseconds) {
            const end = this.time + milliseconds;
            for (;;) {
              await turn();
              const due = this.waiting.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
              if (!due) break;
              this.clearTimeout(due);
              this.time = Math.max(this.time, due.at);
              due.run();
            }
            this.time = end;
            await turn();
          }
        }
        const clock = new FakeClock();

        const heard = [];
        const client = async (options = {}) => {
          const chat = connect("ws://fake/ws", { user: "alice", WebSocket: FakeSocket, clock, random: () => 0.5, ...options });
          for (const type of ["message", "joined", "gap", "rewind", "typing", "user_joined", "removed", "error", "state"]) {
            chat.on(type, (event) => heard.push([type, event]));
          }
          await turn();
          return chat;
        };
        const positions = () => heard.filter(([type]) => type === "message").map(([, { position }]) => position);
        const message = (position, more = {}) =>
          ({ type: "message", room: "a", position, time: 1, user: "bob", id: position, text: "t", ...more });
        /** How a promise stands. */
        const fate = async (promise) => {
          let state = "pending";
          promise.then((value) => (state = value), (error) => (state = error.code));
          await turn();
          return state;
        };
        """#
}
