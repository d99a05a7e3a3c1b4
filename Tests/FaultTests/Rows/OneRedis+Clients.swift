import ChatProtocol
import NIOCore
import TestSupport
import Testing

/// What clients do to gateways: too slow, too many at once, again and again.
extension FaultTests.OneRedis {
    /// Messages that pour into a busy room: far more bytes than sockets hold.
    private var flood: Int { 600 }

    @Test("Clients of a busy room do not read: they cost little, the others get all, and they get the rest later")
    func slowClients() async throws {
        let stage = try stage
        try await stage.makeWhole()
        let (victim, other) = (stage.gateways[0], stage.gateways[1])
        let group = try ControlGroup(.memory, of: victim.pid)
        do {
            try group.limit(.memory(bytes: 128 << 20))
            try await Row(
                section: .clients, fault: "clients of a busy room read nothing",
                seen: "they get all when they read again, or 1013 and all when they resume"
            ).run { stage, traffic in
                let room = "\(traffic.rooms[0])-busy"
                let slow = try await mute("slow", in: room, on: victim)
                var stalled: [Guest] = []
                for number in 0..<40 { stalled.append(try await mute("stalled-\(number)", in: room, on: victim)) }
                let reader = try await Guest.connect("reader", to: victim, in: room)
                async let others = reader.sequence(in: room, upTo: flood)
                try await pour(into: room, from: other) {
                    // Alive, though it reads nothing.
                    try? await slow.send(#"{"type":"typing","room":"\#(room)"}"#)
                }
                #expect(try await others == Array(1...UInt64(flood)))
                try await slow.socket.setReading(true)
                traffic.healed()
                try await readAll(slow, in: room, on: other)
                try await reader.close()
                // Those who never read are closed, and get the rest when they come back.
                try await eventually("nobody is in the room", within: .seconds(30), every: .milliseconds(200)) {
                    try await members(of: room, on: other).isEmpty ? true : nil
                }
                try await stalled[0].socket.setReading(true)
                try await readAll(stalled[0], in: room, on: other)
                for guest in stalled { await guest.socket.cut() }
            }
            let used = try group.peakMemory() >> 20
            print("fault: 41 clients read nothing of 2.4 MB each: the gateway took \(used) MB more")
            #expect(victim.ending == nil)
        } catch {
            await victim.kill()
            try await group.remove()
            throw error
        }
        await victim.kill()
        try await group.remove()
    }

    /// In the room, and reads nothing from then on.
    private func mute(_ user: String, in room: String, on gateway: GatewayProcess) async throws -> Guest {
        let guest = try await Guest.connect(user, port: gateway.port, receiveBuffer: 4_096)
        try await guest.join(room)
        try await guest.socket.setReading(false)
        return guest
    }

    /// Reads all that was poured into the room; whoever was closed meanwhile gets the rest on another node.
    private func readAll(_ guest: Guest, in room: String, on gateway: GatewayProcess) async throws {
        var guest = guest
        var sequence: [UInt64] = []
        do {
            _ = try await guest.sequence(in: room, upTo: flood)
        } catch {
            // It was closed as too slow: what came until then stands in its record.
        }
        var seen = guest.events.filter { $0.type == "message" }.compactMap { $0.position.flatMap { Position($0) } }
        sequence += seen.map(\.seq)
        if sequence.last != UInt64(flood) {
            guest = try await Guest.connect(guest.user, port: gateway.port)
            let joined = try await guest.join(room, fields: #","since":"\#(seen.popLast() ?? .zero)""#)
            #expect(joined.recovered == true)
            sequence += try await guest.sequence(in: room, upTo: flood)
        }
        #expect(sequence == Array(1...UInt64(flood)))
        await guest.socket.cut()
    }

    @Test("A gateway with most of 800 clients is killed: all come back at once, and get what they missed")
    func storm() async throws {
        var plan = Traffic.Plan()
        plan.interval = .milliseconds(200)
        let victim = try stage.gateways[0]
        let row = Row(
            section: .gateways, fault: "a gateway with 560 of 800 clients is killed",
            seen: "1006; all resume at once", plan: plan, leaving: .those(on: victim.node),
            // In such a crowd some are away for longer than presence waits.
            mayBeGone: true)
        let count = 800
        try await row.run { stage, traffic in
            let rooms = (0..<40).map { "\(traffic.rooms[0])-crowd-\($0)" }
            let ports = stage.gateways.map(\.port)
            let crowd = Crowd(
                "\(traffic.rooms[0])-crowd", count: count, rooms: rooms, ports: stormPorts(ports))
            do {
                try await strike(victim, crowd, rooms, at: ports, traffic)
            } catch {
                await crowd.leave()
                throw error
            }
            await crowd.leave()
        }
    }

    private func strike(
        _ victim: GatewayProcess, _ crowd: Crowd, _ rooms: [String], at ports: [Int], _ traffic: Traffic
    ) async throws {
        let count = crowd.all.count
        try await crowd.come()
        try await call(rooms, at: ports[2], "before")
        try await eventually("all heard it") { crowd.all.allSatisfy { $0.received == 1 } ? true : nil }

        crowd.use(ports: Array(ports.dropFirst()))
        traffic.struck()
        await victim.kill()
        traffic.healed()
        for number in 0..<3 { try await call(rooms, at: ports[2], "meanwhile-\(number)") }
        try await eventually("all are back", within: .seconds(120)) { crowd.joined == count ? true : nil }
        traffic.othersAreServed()
        try await call(rooms, at: ports[2], "after")
        _ = try? await eventually("all have all", within: .seconds(60)) {
            crowd.all.allSatisfy { $0.received >= 5 } ? true : nil
        }
        let wrong = crowd.all.enumerated().filter { $1.received != 5 || !$1.complaints.isEmpty }
        #expect(wrong.isEmpty, "\(wrong.count) listeners: \(wrong.prefix(5))")
    }

    /// Seven of ten go to the first.
    private func stormPorts(_ ports: [Int]) -> [Int] {
        Array(repeating: ports[0], count: 7) + [ports[1], ports[1], ports[2]]
    }

    private func call(_ rooms: [String], at port: Int, _ text: String) async throws {
        let caller = try await Guest.connect("\(rooms[0])-caller", port: port, query: "&echo=false")
        for room in rooms {
            try await caller.join(room)
            _ = try await caller.store(text, in: room, id: "\(room)-\(text)")
        }
        try await caller.close()
    }

    @Test("A message is sent again and again, over three gateways at once: stored once, delivered once")
    func duplicates() async throws {
        let stage = try stage
        try await stage.makeWhole()
        let room = "twins-\(stage.nextNumber())"
        var twins: [Guest] = []
        for gateway in stage.gateways { twins.append(try await Guest.connect("twin", to: gateway, in: room)) }
        let listener = try await Guest.connect("listener", to: stage.gateways[0], in: room)
        let ids = (0..<30).map { "\(room)-\($0)" }
        var sent = twins.map { _ in 0 }
        for (number, id) in ids.enumerated() {
            for (index, twin) in twins.enumerated() {
                for copy in 0...(number + index) % 5 {
                    let retry = copy == 0 && index == number % 3 ? "" : #","retry":true"#
                    try await twin.send(#"{"type":"message","id":"\#(id)","room":"\#(room)","text":"\#(id)"\#(retry)}"#)
                    sent[index] += 1
                }
            }
        }
        var positions: [String: Set<String>] = [:]
        for (twin, count) in zip(twins, sent) {
            var acks = 0
            while acks < count {
                let ack = try await twin.event("ack \(acks + 1) of \(count)") { $0.type == "ack" }
                acks += 1
                positions[ack.id ?? "", default: []].insert(ack.position ?? "")
            }
        }
        let log = try await stage.log(of: room)
        #expect(log.map(\.id).sorted() == ids.sorted())
        #expect(positions == Dictionary(uniqueKeysWithValues: log.map { ($0.id, [$0.position.description]) }))
        #expect(try await listener.sequence(in: room, upTo: ids.count) == Array(1...UInt64(ids.count)))
        for guest in twins + [listener] { try await guest.close() }
        try FaultTable.shared.add(
            .init(
                section: .clients, fault: "a message is sent again and again, over several gateways",
                seen: "one `ack`, the same each time; stored and delivered once"))
    }

    // MARK: -

    /// Posts ``flood`` messages of 4,000 bytes, as fast as the gateway takes them.
    ///
    /// - Parameter now: Called now and then.
    private func pour(into room: String, from gateway: GatewayProcess, _ now: () async throws -> Void) async throws {
        let loud = try await Guest.connect("loud", port: gateway.port, query: "&echo=false")
        try await loud.join(room)
        // Whoever reads answers pings.
        async let end = loud.event("the pong", within: .seconds(60)) { $0.type == "pong" }
        let text = String(repeating: "x", count: 4_000)
        let frame = RawWebSocket.Frame.text(#"{"type":"message","room":"\#(room)","text":"\#(text)"}"#).bytes
        for number in 0..<flood {
            try await loud.socket.send(bytes: Array(frame.readableBytesView))
            if number % 100 == 0 { try await now() }
        }
        try await loud.send(#"{"type":"ping","id":"end"}"#)
        _ = try await end
        try await loud.close()
    }

    private func members(of room: String, on gateway: GatewayProcess) async throws -> [String] {
        let guest = try await Guest.connect("asks", port: gateway.port)
        try await guest.send(#"{"type":"members","id":"who","room":"\#(room)"}"#)
        let members = try await guest.event("members") { $0.id == "who" }.members ?? []
        try await guest.close()
        return members
    }
}

extension Guest {
    /// Reads until the message with this SEQ; the SEQ of all that came.
    fileprivate func sequence(in room: String, upTo last: Int) async throws -> [UInt64] {
        var sequence: [UInt64] = []
        while sequence.last.map({ $0 < UInt64(last) }) ?? true {
            let message = try await event("message \(last)") { $0.type == "message" && $0.room == room }
            guard let position = message.position.flatMap({ Position($0) }) else { break }
            sequence.append(position.seq)
        }
        return sequence
    }
}
