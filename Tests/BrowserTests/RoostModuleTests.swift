import TestSupport
import Testing

/// What `roost.js` owes to PROTOCOL.md, told by a fake socket in a real browser.
@Suite(.serialized, .onePage)
struct RoostModuleTests {
    @Test("It connects as it was told, and joins and sends without waiting for a word")
    func connects() async throws {
        try await tell(
            """
            const chat = await client();
            const joining = chat.join("a", { history: 20 });
            const sending = chat.send("a", { text: "hi", data: { n: [1, null] } });
            expect(socket().url, "ws://fake/ws?user=alice", "address");
            expect(socket().protocols, ["roost.v1"], "protocols");
            socket().open();
            expect(socket().sent.map(({ type, room, history, text, data, retry }) => [type, room, history, text, data, retry]),
              [["join", "a", 20, null, null, null], ["message", "a", null, "hi", { n: [1, null] }, null]], "frames");
            socket().welcome().joined("a", "5-2").say(message("5-1"), message("5-2"));
            socket().say({ type: "ack", id: socket().of("message")[0].id, room: "a", position: "5-3", time: 9 });
            expect((await joining).position, "5-2", "joined");
            expect((await sending).position, "5-3", "ack");
            expect(positions(), ["5-1", "5-2"], "messages");
            expect([chat.state.state, chat.state.node, chat.user], ["online", "n1", "alice"], "state");
            """)
    }

    @Test("After a loss it resumes all rooms in one frame, then sends again what has no ack, in order, with retry")
    func resumes() async throws {
        try await tell(
            """
            const chat = await client();
            for (const room of ["a", "b", "c"]) chat.join(room);
            socket().open().welcome().say({ type: "joined", room: "@alice", position: "7-1" });
            socket().joined("a", "5-1").joined("b", "6-1").say(message("5-2"));
            chat.send("a", "one", { id: "1" });
            chat.send("a", "two", { id: "2" });
            chat.send("b", "three", { id: "3" });
            socket().say({ type: "ack", id: "1", room: "a", position: "5-3", time: 1 });
            socket().drop();
            expect(chat.state.state, "waiting", "state");
            chat.send("a", "four", { id: "4" });
            await clock.pass(50);
            socket().open();
            expect(socket().sent[0].rooms, { a: "5-2", b: "6-1", "@alice": "7-1" }, "resume");
            expect([socket().sent[1].type, socket().sent[1].room], ["join", "c"], "never joined, so joined afresh");
            expect(socket().of("message").map(({ id, retry }) => [id, retry]), [["2", true], ["3", true], ["4", null]], "again");
            """)
    }

    @Test("A room's messages count only from the answer to its resumption on, each position once")
    func once() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            socket().open().welcome().say({ type: "joined", room: "@alice", position: "0-0" });
            socket().joined("a", "18446744073709551614-9").say(message("18446744073709551614-10"));
            socket().drop();
            await clock.pass(50);
            socket().open().welcome();
            socket().say({ type: "joined", room: "@alice", position: "9-2" }, message("9-2", { room: "@alice" }));
            socket().say(message("18446744073709551614-12"));
            expect(positions(), ["18446744073709551614-10"], "too early");
            const again = { recovered: true, members: undefined };
            socket().joined("@alice", "9-2", again).say(message("9-1", { room: "@alice" }), message("9-2", { room: "@alice" }));
            socket().joined("a", "18446744073709551614-12", again);
            for (const seq of [10, 11, 12, 12]) socket().say(message(`18446744073709551614-${seq}`));
            socket().say(message("18446744073709551615-1"));
            expect(positions(), ["18446744073709551614-10", "9-1", "9-2", "18446744073709551614-11",
              "18446744073709551614-12", "18446744073709551615-1"], "once and in order");
            expect(heard.filter(([type]) => type === "joined").map(([, { room, resumed }]) => [room, resumed]),
              [["@alice", false], ["a", false], ["@alice", true], ["a", true]], "joined");
            expect(comparePositions("9-10", "10-9") < 0 && comparePositions("9-10", "9-9") > 0, true, "as numbers");
            """)
    }

    @Test("A replay that was cut off goes on after the last message, or is asked for anew")
    func cutReplay() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a", { history: 3 });
            chat.join("b", { history: 3 });
            socket().open().welcome().joined("a", "5-9").joined("b", "6-9").say(message("5-7"));
            socket().drop();
            await clock.pass(50);
            socket().open();
            expect(socket().of("resume").map(({ rooms }) => rooms), [{ a: "5-7" }], "goes on");
            expect(socket().of("join").map(({ room, history }) => [room, history]), [["b", 3]], "anew");
            """)
    }

    @Test("Many rooms go into as few frames as fit")
    func manyRooms() async throws {
        try await tell(
            """
            const chat = await client();
            const names = Array.from({ length: 100 }, (_, number) => `room-${number}-${"x".repeat(60)}`);
            for (const name of names) chat.join(name);
            socket().open().welcome({ max_message_bytes: 4096 });
            for (const name of names) socket().joined(name, "1732170000000-123456");
            socket().drop();
            await clock.pass(50);
            socket().open();
            const frames = socket().of("resume");
            expect(frames.flatMap(({ rooms }) => Object.keys(rooms)), names, "all of them");
            expect(frames.every((frame) => JSON.stringify(frame).length <= 4096), true, "within the limit");
            expect(frames.length, 3, "few");
            """)
    }

    @Test("It waits with full jitter from 0.1 s, doubling to 20 s, and from the start after a steady connection")
    func backsOff() async throws {
        try await tell(
            """
            const delays = [];
            const chat = await client({ random: () => 1 });
            const lose = async () => {
              socket().drop();
              delays.push(chat.state.retryAt - clock.now());
              await clock.pass(delays.at(-1));
            };
            for (let loss = 0; loss < 10; loss += 1) await lose();
            expect(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 20000, 20000], "doubling");
            socket().open().welcome();
            await lose();
            expect(delays.at(-1), 20000, "a short life changes nothing");
            socket().open().welcome();
            await clock.pass(6000);
            await lose();
            expect(delays.at(-1), 100, "a steady one does");
            """)
    }

    @Test("Close codes: its own bugs end it, a refused token needs another, everything else reconnects")
    func closeCodes() async throws {
        try await tell(
            """
            for (const code of [1000, 1001, 1006, 1011, 1012, 1013]) {
              const chat = await client();
              socket().open().welcome();
              socket().drop(code);
              expect(chat.state.state, "waiting", `after ${code}`);
              chat.close();
            }
            for (const code of [1002, 1003, 1007, 1009]) {
              const chat = await client();
              const sending = chat.send("a", "x");
              socket().open().welcome();
              socket().drop(code);
              expect([chat.state.state, chat.state.error.code, await fate(sending)], ["closed", "closed", "closed"], `after ${code}`);
            }
            const fixed = await client({ user: undefined, token: "t1" });
            expect(socket().protocols, ["roost.v1", "bearer.t1"], "token");
            socket().open().welcome().drop(1008, "kicked");
            await turn();
            expect([fixed.state.state, fixed.state.error.code], ["closed", "unauthorized"], "the same token");
            let number = 0;
            const fresh = await client({ user: undefined, token: () => `t${(number += 1)}` });
            socket().open().welcome().say({ type: "expiring", expires: 1 });
            await turn();
            expect(socket().of("auth")[0].token, "t2", "renewed in time");
            socket().drop(1008, "expired");
            await clock.pass(100);
            expect(socket().protocols, ["roost.v1", "bearer.t4"], "a fresh token");
            """)
    }

    @Test("When nothing was heard for a heartbeat it asks, and gives up after 10 s")
    func watches() async throws {
        try await tell(
            """
            const chat = await client();
            const first = socket().open().welcome();
            await clock.pass(24_000);
            first.say({ type: "count", room: "a", count: 1 });
            await clock.pass(24_000);
            expect(first.of("ping").length, 0, "heard something");
            await clock.pass(1_000);
            expect(first.of("ping").length, 1, "asks");
            first.say({ type: "pong", id: "ping", time: 1 });
            await clock.pass(25_000);
            expect(first.of("ping").length, 2, "asks again");
            await clock.pass(9_999);
            expect(FakeSocket.all.length, 1, "still waits");
            await clock.pass(100);
            expect([first.closedWith, FakeSocket.all.length], ["unsaid", 2], "gives up and connects anew");
            await clock.pass(10_100);
            expect(FakeSocket.all.length, 3, "so it does without a welcome");
            """)
    }

    @Test("When the network comes back it does not wait, and looks whether the connection lives")
    func nudged() async throws {
        try await tell(
            """
            const chat = await client({ random: () => 1 });
            for (let loss = 0; loss < 8; loss += 1) { socket().drop(); await clock.pass(chat.state.retryAt - clock.now()); }
            socket().drop();
            const before = FakeSocket.all.length;
            dispatchEvent(new Event("online"));
            await turn();
            expect(FakeSocket.all.length, before + 1, "connects at once");
            socket().open().welcome();
            await clock.pass(2_000);
            dispatchEvent(new Event("online"));
            expect(socket().of("ping").length, 1, "asks at once");
            chat.close();
            await clock.pass(60_000);
            dispatchEvent(new Event("online"));
            await turn();
            expect([FakeSocket.all.length, clock.waiting.length], [before + 1, 0], "closed is closed");
            """)
    }

    @Test("A page that is left says goodbye, and comes back to where it was")
    func leftPage() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            const s = socket().open().welcome().joined("a", "5-1");
            dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
            expect([s.closedWith, chat.state.state], [1000, "waiting"], "goodbye");
            const sending = chat.send("a", "x", { id: "m" });
            await clock.pass(60_000);
            expect(FakeSocket.all.length, 1, "stays away");
            dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
            await turn();
            socket().open().welcome();
            expect([socket().sent[0].rooms, socket().sent[1].id], [{ a: "5-1" }, "m"], "where it was");
            chat.close();
            await fate(sending);
            """)
    }

    @Test("Asked to go elsewhere it opens the new connection first, and closes the old when all rooms are resumed")
    func movesOver() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            const old = socket().open().welcome().say({ type: "joined", room: "@alice", position: "0-0" });
            old.joined("a", "5-1");
            const sending = chat.send("a", "x", { id: "m" });
            old.say({ type: "reconnect", after: 500, deadline: 5000, reason: "restart" });
            old.say({ type: "reconnect", after: 500, deadline: 5000, reason: "restart" });
            await clock.pass(499);
            expect(FakeSocket.all.length, 1, "not before the time");
            await clock.pass(1);
            const next = socket();
            old.say(message("5-2"));
            next.open().welcome();
            old.say(message("5-3"), { type: "typing", room: "a", user: "bob", active: true });
            expect([next.sent[0].rooms, next.of("message").map(({ id, retry }) => [id, retry])],
              [{ a: "5-2", "@alice": "0-0" }, [["m", true]]], "resumed and said again");
            next.joined("@alice", "0-0", { recovered: true, members: undefined });
            expect(old.closedWith, null, "the old still serves");
            next.joined("a", "5-4", { recovered: true }).say(message("5-3"), message("5-4"));
            expect(old.closedWith, 1000, "now it is closed");
            next.say({ type: "ack", id: "m", room: "a", position: "5-4", time: 1, duplicate: true });
            expect((await sending).duplicate, true, "acknowledged there");
            expect(positions(), ["5-2", "5-3", "5-4"], "once and in order");
            expect(heard.filter(([type]) => type === "typing").length, 1, "signals once");
            await clock.pass(5_000);
            expect(FakeSocket.all.length, 2, "asked twice, moved once");
            expect(heard.filter(([type]) => type === "state").map(([, { state }]) => state), ["connecting", "online", "online"].slice(-2), "never away");
            """)
    }

    @Test("A new connection that fails leaves the old one in service, until it ends too")
    func failsToMove() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            const old = socket().open().welcome().joined("a", "5-1");
            old.say({ type: "reconnect", after: 0, deadline: 5000, reason: "restart" });
            await clock.pass(0);
            socket().drop();
            expect(chat.state.state, "online", "still online");
            old.say(message("5-2"));
            await clock.pass(50);
            expect(FakeSocket.all.length, 3, "tries again");
            old.drop(1012);
            socket().open().welcome().joined("a", "5-2", { recovered: true });
            expect([socket().sent[0].rooms.a, chat.state.state, positions()], ["5-2", "online", ["5-2"]], "moved at last");
            """)
    }

    @Test("Told to leave a connection that has not resumed all rooms yet, it moves on; those before serve until then")
    func movesOn() async throws {
        try await tell(
            """
            const chat = await client();
            for (const room of ["a", "b"]) chat.join(room);
            const first = socket().open().welcome().joined("a", "5-1").joined("b", "6-1");
            const leave = { type: "reconnect", after: 0, deadline: 5000, reason: "restart" };
            first.say(leave);
            await clock.pass(0);
            const second = socket().open().welcome().joined("b", "6-1", { recovered: true });
            second.say(leave);
            await clock.pass(0);
            const third = socket().open().welcome();
            expect(third.sent[0].rooms, { a: "5-1", b: "6-1" }, "all rooms");
            first.say(message("5-2"), { type: "user_joined", room: "a", user: "bob", count: 2 });
            second.say(message("6-2", { room: "b" }), { type: "user_joined", room: "a", user: "bob", count: 2 });
            expect([first.closedWith, second.closedWith, positions()], [null, null, ["5-2", "6-2"]], "each serves what it has");
            expect(heard.filter(([type]) => type === "user_joined").length, 1, "told once");
            third.joined("a", "5-2", { recovered: true });
            expect([first.closedWith, second.closedWith], [null, null], "not yet");
            third.joined("b", "6-2", { recovered: true });
            expect([first.closedWith, second.closedWith], [1000, 1000], "moved");
            """)
    }

    @Test("A new connection that ends before all rooms are resumed leaves its place to the one before it")
    func fallsBack() async throws {
        try await tell(
            """
            const chat = await client();
            for (const room of ["a", "b", "c"]) chat.join(room);
            const first = socket().open().welcome().joined("a", "5-1").joined("b", "6-1");
            first.say({ type: "reconnect", after: 0, deadline: 5000, reason: "restart" });
            await clock.pass(0);
            const second = socket().open().welcome().joined("b", "6-1", { recovered: true });
            second.say(message("6-2", { room: "b" }));
            const sending = chat.send("b", "x", { id: "m" });
            second.drop();
            expect([chat.state.state, chat.state.node, chat.welcome.node], ["online", "n1", "n1"], "still online");
            expect([first.of("resume").map(({ rooms }) => rooms), first.of("join").map(({ room }) => room)],
              [[{ b: "6-2" }], ["a", "b", "c"]], "asked for what it does not bring");
            expect(first.of("message").map(({ id, retry }) => [id, retry]), [["m", true]], "said again");
            first.joined("b", "6-3", { recovered: true }).say(message("6-3", { room: "b" }), message("5-2"));
            first.say({ type: "ack", id: "m", room: "b", position: "6-3", time: 1 });
            expect([positions(), (await sending).position], [["6-2", "6-3", "5-2"], "6-3"], "goes on");
            first.joined("c", "7-1");
            expect(FakeSocket.all.length, 2, "not at once");
            await clock.pass(50);
            const third = socket().open().welcome();
            for (const room of ["a", "b", "c"]) third.joined(room, "9-1", { recovered: true });
            expect([FakeSocket.all.length, first.closedWith], [3, 1000], "moved at last");
            """)
    }

    @Test("What was lost is told: gap, rewind, and a log that is another")
    func losses() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            socket().open().welcome().joined("a", "5-1").say(message("5-2"), message("5-3"));
            socket().say({ type: "gap", room: "a", after: "5-3", before: "5-6" }, message("5-6"));
            socket().say({ type: "rewind", room: "a", to: "5-2" }, message("6-1"));
            expect(positions(), ["5-2", "5-3", "5-6", "6-1"], "goes on");
            socket().drop();
            await clock.pass(50);
            socket().open().welcome().joined("a", "4-2", { recovered: false }).say(message("4-1"), message("4-2"));
            expect(positions().slice(4), ["4-1", "4-2"], "what is left of another log");
            expect(heard.filter(([type]) => type === "gap" || type === "rewind").map(([type]) => type), ["gap", "rewind"], "events");
            expect(heard.findLast(([type]) => type === "joined")[1].recovered, false, "not recovered");
            """)
    }

    @Test("The outbox has bounds, and what cannot be sent is refused at once")
    func bounds() async throws {
        try await tell(
            """
            const chat = await client({ outbox: { messages: 2 } });
            chat.send("a", "1").catch(() => {});
            chat.send("a", "2", { id: "x" }).catch(() => {});
            expect([await fate(chat.send("a", "3")), chat.unacknowledged], ["outbox_full", 2], "full");
            const other = await client();
            socket().open().welcome({ max_message_bytes: 1000 });
            expect(await fate(other.send("a", "ä".repeat(480))), "message_too_large", "too large");
            expect(await fate(other.send("a", { data: "\\ud800" })), "invalid_message", "half a pair");
            const sending = other.send("a", { data: "\\\\ud800", text: "\\ud800!" }, { id: "y" });
            expect(await fate(sending), "pending", "a backslash is no half pair");
            expect(await fate(other.send("a", "again", { id: "y" })), "invalid_message", "an id on its way");
            let refusal;
            try { connect("ws://fake/ws", { user: "<b>", WebSocket: FakeSocket }); } catch (error) { refusal = error.code; }
            expect([refusal, isName("a.b_c:d-9"), isName(""), isName("a".repeat(129))], ["invalid_user", true, false, false], "names");
            other.close();
            expect([await fate(sending), await fate(other.send("a", "x")), socket().closedWith], ["closed", "closed", 1000], "closed");
            """)
    }

    @Test("Refused for now, a message is sent again after the time told, and nothing overtakes it")
    func refusedForNow() async throws {
        try await tell(
            """
            const chat = await client();
            socket().open().welcome();
            const one = chat.send("a", "1", { id: "1" });
            chat.send("a", "2", { id: "2" });
            const s = socket();
            for (const id of ["1", "2"]) s.say({ type: "error", id, room: "a", code: "rate_limited", message: "slow", retry_after: 700 });
            const three = chat.send("a", "3", { id: "3" });
            await clock.pass(699);
            expect(s.of("message").length, 2, "waits");
            await clock.pass(1);
            expect(s.of("message").slice(2).map(({ id }) => id), ["1"], "one at a time");
            for (const id of ["1", "2"]) s.say({ type: "ack", id, room: "a", position: `5-${id}`, time: 1 });
            expect(s.of("message").slice(2).map(({ id, retry }) => [id, retry]), [["1", true], ["2", true], ["3", null]], "in order");
            s.say({ type: "error", id: "3", room: "a", code: "unavailable", message: "away" });
            await clock.pass(1000);
            expect(s.of("message").at(-1), { type: "message", id: "3", room: "a", text: "3", retry: true }, "not known: again");
            s.say({ type: "error", id: "3", room: "a", code: "not_joined", message: "no" });
            expect([(await one).position, await fate(three)], ["5-1", "not_joined"], "for good");
            expect(heard.filter(([type]) => type === "error").map(([, { code }]) => code), ["rate_limited", "rate_limited", "unavailable"], "told");
            """)
    }

    @Test(
        "A room that refuses rejects its join; one that cannot be resumed is told; one refused for now is asked again")
    func refusedRooms() async throws {
        try await tell(
            """
            const chat = await client();
            const full = chat.join("full");
            chat.join("a");
            const away = chat.join("away");
            const s = socket().open().welcome();
            const asked = (room) => s.of("join").findLast((frame) => frame.room === room).id;
            s.say({ type: "error", id: asked("full"), room: "full", code: "room_full", message: "full" });
            s.say({ type: "error", id: asked("away"), room: "away", code: "unavailable", message: "away", retry_after: 300 });
            s.joined("a", "5-1");
            expect([await fate(full), await fate(away)], ["room_full", "pending"], "joins");
            await clock.pass(300);
            s.joined("away", "6-1");
            expect((await away).position, "6-1", "asked again");
            s.drop();
            await clock.pass(50);
            socket().open().welcome();
            const { id } = socket().of("resume")[0];
            socket().say({ type: "error", id, room: "a", code: "forbidden", message: "no" });
            expect(heard.findLast(([type]) => type === "removed")[1].room, "a", "told");
            socket().drop();
            await clock.pass(1000);
            socket().open();
            expect(Object.keys(socket().of("resume")[0].rooms), ["away"], "not asked for any more");
            """)
    }

    @Test("A message to a room whose resumption is refused for now waits for it, in order, and holds up no other room")
    func heldMessages() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            chat.join("b");
            socket().open().welcome().joined("a", "5-1").joined("b", "6-1");
            const one = chat.send("a", "1", { id: "1" });
            const two = chat.send("a", "2", { id: "2" });
            socket().drop();
            await clock.pass(50);
            const s = socket().open().welcome();
            const { id } = s.of("resume")[0];
            const notJoined = (id) => s.say({ type: "error", id, room: "a", code: "not_joined", message: "no" });
            notJoined("1");
            s.say({ type: "error", id, room: "a", code: "unavailable", message: "away", retry_after: 300 });
            notJoined("2");
            s.say({ type: "joined", id, room: "b", position: "6-1", recovered: true, members: ["alice"], count: 1 });
            const three = chat.send("a", "3", { id: "3" });
            const other = chat.send("b", "4", { id: "4" });
            chat.typing("a");
            expect(s.of("message").map(({ id }) => id), ["1", "2", "4"], "the other room goes on");
            expect(s.of("typing"), [], "useless");
            s.say({ type: "ack", id: "4", room: "b", position: "6-2", time: 1 });
            expect([await fate(one), await fate(two), await fate(three)], ["pending", "pending", "pending"], "they wait");
            await clock.pass(300);
            expect([s.of("join")[0].since, s.of("message").length], ["5-1", 3], "asked again, still waiting");
            s.joined("a", "5-1", { recovered: true });
            expect(s.of("message").slice(3).map(({ id, retry }) => [id, retry]), [["1", true], ["2", true], ["3", null]], "in order");
            for (const id of ["1", "2", "3"]) s.say({ type: "ack", id, room: "a", position: `5-${+id + 1}`, time: 1 });
            expect([(await one).position, (await three).position, (await other).position], ["5-2", "5-4", "6-2"], "stored");
            expect(chat.unacknowledged, 0, "nothing left");
            """)
    }

    @Test("What waits for a room that is refused for good, or left, is refused for good too")
    func heldForNothing() async throws {
        try await tell(
            """
            const chat = await client();
            for (const room of ["a", "b"]) chat.join(room).catch(() => {});
            const toA = chat.send("a", "1", { id: "1" });
            const toB = chat.send("b", "2", { id: "2" });
            const s = socket().open().welcome();
            const refuse = (id, room, code) => s.say({ type: "error", id, room, code, message: "no", retry_after: 300 });
            for (const { id, room } of s.of("join")) refuse(id, room, "unavailable");
            refuse("1", "a", "not_joined");
            refuse("2", "b", "not_joined");
            expect([await fate(toA), await fate(toB), s.of("message").length], ["pending", "pending", 2], "they wait");
            await clock.pass(300);
            refuse(s.of("join").findLast(({ room }) => room === "a").id, "a", "forbidden");
            chat.leave("b").catch(() => {});
            expect(s.of("message").slice(2).map(({ id }) => id), ["1", "2"], "said once more");
            refuse("1", "a", "not_joined");
            refuse("2", "b", "not_joined");
            expect([await fate(toA), await fate(toB)], ["not_joined", "not_joined"], "for good");
            await clock.pass(1_000);
            expect(s.of("join").length, 4, "neither is asked for any more");
            """)
    }

    @Test("Joining a room one is in is answered too, if after a refusal for now, and never costs the room")
    func joinsAgain() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            const s = socket().open().welcome().joined("a", "5-1");
            const refuse = (code) => s.say({ type: "error", id: s.of("join").at(-1).id, room: "a", code, message: "no", retry_after: 300 });
            const again = chat.join("a", { history: 9 });
            const too = chat.join("a");
            expect(s.of("join").slice(1).map(Object.keys), [["type", "id", "room"]], "without a replay, once for both");
            refuse("unavailable");
            s.say(message("5-2"));
            chat.send("a", "x", { id: "m" }).catch(() => {});
            expect([await fate(again), positions(), s.of("message").length], ["pending", ["5-2"], 1], "still in it");
            await clock.pass(300);
            expect(s.of("join").slice(2).map(Object.keys), [["type", "id", "room"]], "asked again");
            s.joined("a", "5-2");
            expect([(await again).position, (await too).position], ["5-2", "5-2"], "answered");
            const last = chat.join("a");
            refuse("forbidden");
            s.say(message("5-3"));
            expect([await fate(last), positions()], ["forbidden", ["5-2", "5-3"]], "refused, and still in it");
            expect(heard.filter(([type]) => type === "removed"), [], "not removed");
            const lost = chat.join("a");
            s.drop();
            await clock.pass(50);
            socket().open().welcome().joined("a", "5-3", { recovered: true });
            expect((await lost).recovered, true, "answered by the next connection");
            """)
    }

    @Test("A bound on what is replayed goes with the position, until something of it is here")
    func limitedReplay() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a", { since: "5-1", limit: 10 });
            chat.join("b", { since: "6-1" });
            const asked = () => [socket().of("resume").map(({ rooms }) => rooms),
              socket().of("join").map(({ room, since, limit }) => [room, since, limit])];
            const again = async () => { socket().drop(); await clock.pass(5_000); socket().open().welcome(); };
            const bounded = [[{ b: "6-1" }], [["a", "5-1", 10]]];
            socket().open();
            expect(asked(), bounded, "before the socket was open");
            await again();
            expect(asked(), bounded, "cut off before the answer");
            socket().joined("a", "5-90", { recovered: false });
            await again();
            expect(asked(), bounded, "cut off before the first message");
            socket().joined("a", "5-90", { recovered: false }).say(message("5-81"));
            await again();
            expect(asked(), [[{ a: "5-81", b: "6-1" }], []], "the rest");
            chat.join("c", { since: "7-1", limit: 10 });
            socket().joined("c", "7-1", { recovered: true });
            await again();
            expect(asked(), [[{ a: "5-81", b: "6-1", c: "7-1" }], []], "nothing was missed");
            """)
    }

    @Test("The old connection serves a room that is refused for now on the new one, until it is resumed there")
    func movesLate() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            chat.join("b");
            const old = socket().open().welcome().joined("a", "5-1");
            const late = old.of("join")[1].id;
            old.say({ type: "reconnect", after: 0, deadline: 5000, reason: "restart" });
            await clock.pass(0);
            const next = socket().open().welcome();
            next.say({ type: "error", id: next.of("resume")[0].id, room: "a", code: "unavailable", message: "away", retry_after: 300 });
            next.joined("b", "6-1");
            old.say({ type: "joined", id: late, room: "b", position: "6-1", members: ["alice"], count: 1 });
            next.say(message("6-2", { room: "b" }));
            old.say(message("5-2"));
            expect([old.closedWith, positions()], [null, ["6-2", "5-2"]], "both serve");
            await clock.pass(300);
            expect([next.of("join").at(-1).since, old.closedWith], ["5-2", null], "asked again, not answered");
            next.joined("a", "5-3", { recovered: true }).say(message("5-3"));
            expect([old.closedWith, positions()], [1000, ["6-2", "5-2", "5-3"]], "moved");
            """)
    }

    @Test("Who has left a room hears nothing more of it and is not brought back")
    func leaves() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a");
            const s = socket().open().welcome().joined("a", "5-1");
            const leaving = chat.leave("a");
            s.say(message("5-2"));
            s.say({ type: "left", id: s.of("leave")[0].id, room: "a" });
            await leaving;
            expect(positions(), [], "silence");
            const again = chat.join("a", { since: "5-1" });
            s.say(message("5-3"));
            s.joined("a", "5-3", { recovered: true }).say(message("5-2"), message("5-3"));
            expect([(await again).recovered, positions()], [true, ["5-2", "5-3"]], "back, after a position");
            chat.leave("a");
            s.drop();
            await clock.pass(50);
            socket().open();
            expect(socket().sent, [], "not brought back");
            expect(await fate(chat.leave("@alice")), undefined, "not in it");
            """)
    }

    @Test("Who is taken out of a room that was just joined again comes in anew, or hears why not")
    func takenOutWhileJoining() async throws {
        try await tell(
            """
            const chat = await client();
            chat.join("a", { history: 9 });
            const s = socket().open().welcome().joined("a", "5-1").say(message("5-1"));
            const takeOut = () => s.say({ type: "left", room: "a" });
            const again = chat.join("a");
            takeOut().say(message("5-2"));
            expect([positions(), await fate(again)], [["5-1"], "pending"], "out");
            s.joined("a", "5-3").say(message("5-4"));
            expect([await fate(again.then(({ resumed }) => resumed)), positions()], [false, ["5-1", "5-4"]], "in again");
            const last = chat.join("a");
            takeOut().say({ type: "error", id: s.of("join").at(-1).id, room: "a", code: "forbidden", message: "banned" });
            expect(await fate(last), "forbidden", "kept out");
            expect(heard.filter(([type]) => type === "removed").length, 2, "told each time");
            s.drop();
            await clock.pass(50);
            socket().open();
            expect(socket().sent, [], "not brought back");
            """)
    }

    @Test("Who is taken out of a room on a connection that is being replaced is not brought back by the new one")
    func takenOutWhileMoving() async throws {
        try await tell(
            """
            const chat = await client();
            for (const room of ["a", "b"]) chat.join(room);
            const old = socket().open().welcome().joined("a", "5-1").joined("b", "6-1");
            old.say({ type: "reconnect", after: 0, deadline: 5000, reason: "restart" });
            await clock.pass(0);
            const next = socket().open().welcome().joined("b", "6-1", { recovered: true });
            old.say({ type: "left", room: "a" });
            expect(next.of("leave").map(({ room }) => room), ["a"], "left there, too");
            expect(old.closedWith, 1000, "nothing is left on the old one");
            next.joined("a", "5-2", { recovered: true }).say(message("5-2"), { type: "left", room: "a" });
            expect(positions(), [], "silence");
            expect(heard.filter(([type]) => type === "removed").length, 1, "told once");
            """)
    }

    @Test("Questions survive a lost connection, and give up when nobody answers")
    func questions() async throws {
        try await tell(
            """
            const chat = await client();
            const asking = chat.history("a", { before: "5-9", limit: 10 });
            const members = chat.members("a");
            socket().open().welcome();
            socket().drop();
            await clock.pass(50);
            const s = socket().open().welcome();
            const [asked] = s.of("history");
            expect([asked.before, asked.limit, asked.room], ["5-9", 10, "a"], "asked again");
            s.say({ type: "history", id: asked.id, room: "a", messages: [message("5-8")], more: true });
            expect([(await asking).messages.length, (await asking).more], [1, true], "answered");
            s.say({ type: "error", id: s.of("members")[0].id, room: "a", code: "forbidden", message: "no" });
            expect(await fate(members), "forbidden", "refused");
            const silent = chat.members("b");
            await clock.pass(15_000);
            expect(await fate(silent), "timeout", "gave up");
            """)
    }

    @Test("Signals and typing go now or never, and nonsense from the other side is survived")
    func signals() async throws {
        try await tell(
            """
            const chat = await client();
            chat.typing("a");
            chat.signal("a", { x: 1 });
            const s = socket().open().welcome();
            expect(s.sent, [], "never");
            chat.typing("a");
            chat.signal("a", null);
            expect(s.sent, [{ type: "typing", room: "a", active: true }, { type: "signal", room: "a", data: null }], "now");
            s.onmessage({ data: "not JSON" });
            s.say({ type: "news" }, { type: "ack", id: "unknown" }, message("1-1"), { type: "gap", room: "elsewhere", after: "0-0" });
            s.say({ type: "error", code: "unknown_type", message: "?" });
            expect(heard.filter(([type]) => type !== "state").map(([type, { code }]) => [type, code]), [["error", "unknown_type"]], "survived");
            """)
    }

    /// Runs a story in the page and reports what was otherwise than expected.
    private func tell(_ story: String) async throws {
        let page = try #require(OnePage.current)
        let failures: [String] = try await page.evaluateAsync(FakeGateway.script + story + "\nreturn failures;")
        #expect(failures == [])
    }
}
