import ChatProtocol
import NIOCore

/// Reading logs: one read of a room at a time and kind, whoever comes meanwhile is served by the same answer.
extension LoopHub {
    /// Asks for what comes after a position.
    func read(after position: Position, in room: LoopRoom, for reader: LogReader) {
        if room.beginArrears().reads.ask(position, for: reader) { startRead(after: position, of: room) }
    }

    /// Asks for the latest messages. The place in the page is that of the first of so many.
    func readLatest(_ count: Int, in room: LoopRoom, for reader: @escaping LogReader.Resuming) {
        if room.beginArrears().latestReads.ask(count, for: reader) { startReadLatest(count, of: room) }
    }

    private func startRead(after position: Position, of room: LoopRoom) {
        metrics.logReads += 1
        let (asked, rewinds) = (room.position, room.rewinds)
        commands.read(room.name, after: position, limit: settings.catchUpSlice).assumeIsolated().whenComplete {
            [self] result in
            switch result {
            case .success where room.rewinds != rewinds:
                startRead(after: position, of: room)
            case .success(let slice):
                serve(keep(slice, after: position, asked: asked, in: room), in: room)
            case .failure(let error):
                fail(room.beginArrears().reads.failed(), BrokerError(any: error), in: room)
            }
        }
    }

    private func startReadLatest(_ count: Int, of room: LoopRoom) {
        metrics.logReads += 1
        let (asked, rewinds) = (room.position, room.rewinds)
        commands.readLatest(room.name, before: nil, limit: count).assumeIsolated().whenComplete { [self] result in
            switch result {
            case .success where room.rewinds != rewinds:
                startReadLatest(count, of: room)
            case .success(let slice):
                let start = slice.entries.first?.position.predecessor ?? slice.head
                let page = keep(slice, after: start, asked: asked, in: room)
                let (served, next) = room.beginArrears().latestReads.answered(isBefore: >) { wanted, _, _ in
                    wanted <= count ? LogPage.Place(index: max(0, slice.entries.count - wanted), isWhole: true) : nil
                }
                if let next { startReadLatest(next, of: room) }
                metrics.mergedReads += served.count - 1
                for (_, reader, place) in served { reader(.success((page, place))) }
                room.settleArrears()
            case .failure(let error):
                for reader in room.beginArrears().latestReads.failed() { reader(.failure(BrokerError(any: error))) }
                room.settleArrears()
            }
        }
    }

    /// Builds the frames of what was read, for those who waited and for who comes in the next moments.
    private func keep(_ slice: LogSlice, after position: Position, asked: Position, in room: LoopRoom) -> LogPage {
        let page = LogPage(
            slice, after: position, of: room.name, asked: asked, reached: room.position,
            pieceBytes: settings.catchUpBytes)
        if !page.deliveries.isEmpty, rooms[room.name] === room {
            replays.insert(page.deliveries, of: room.name, at: eventLoop.now)
            scheduleExpiry(in: settings.replayAge)
        }
        return page
    }

    private func serve(_ page: LogPage, in room: LoopRoom) {
        let (served, next) = room.beginArrears().reads.answered(isBefore: <) {
            position, reader, isEarly -> LogPage.Place? in
            guard let place = page.place(after: position) else { return nil }
            // Who came later may have been delivered what this answer does not know yet.
            if case .member = reader, !isEarly, !page.hasFrames(after: position) { return nil }
            return place
        }
        if let next { startRead(after: next, of: room) }
        metrics.mergedReads += served.count - 1
        var members: [(Member, Position)] = []
        for (position, reader, place) in served {
            switch reader {
            case .resuming(let resume): resume(.success((page, place)))
            case .member(let member): members.append((member, position))
            }
        }
        takeOn(members[...], with: page, in: room)
        room.settleArrears()
    }

    private func fail(_ readers: [LogReader], _ error: BrokerError, in room: LoopRoom) {
        let arrears = room.beginArrears()
        defer { room.settleArrears() }
        let isRetryScheduled = !arrears.retrying.isEmpty
        for reader in readers {
            switch reader {
            case .resuming(let resume): resume(.failure(error))
            case .member(let member): arrears.retrying.append(member)
            }
        }
        guard !isRetryScheduled, !arrears.retrying.isEmpty else { return }
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(500)) { [self] in
            let members = room.beginArrears().retrying
            room.beginArrears().retrying = []
            for member in members {
                member.isReading = false
                advance(member, in: room)
            }
            room.settleArrears()
            flush()
        }
    }

    /// Takes members on that have waited, some in each turn of the loop, so that others' messages do not wait for all.
    private func takeOn(_ members: ArraySlice<(Member, Position)>, with page: LogPage, in room: LoopRoom) {
        for (member, position) in members.prefix(Self.takenOnPerTurn) {
            takeOn(member, from: position, with: page, in: room)
        }
        flush()
        let rest = members.dropFirst(Self.takenOnPerTurn)
        guard !rest.isEmpty else { return }
        // In the future, however near: what is to run at once runs before the loop looks at its sockets again.
        eventLoop.assumeIsolated().scheduleTask(in: Self.restBetweenTurns) { [self] in
            takeOn(rest, with: page, in: room)
        }
    }

    private static let takenOnPerTurn = 128
    private static let restBetweenTurns = TimeAmount.microseconds(20)

    // MARK: - Frames in memory

    /// The frames that follow a position, if they are still here.
    func delivery(after position: Position, in room: LoopRoom) -> Delivery? {
        room.ring.delivery(after: position) ?? replays.delivery(after: position, in: room.name)
    }

    /// What was delivered or read is no longer what whoever is behind should get.
    func forgetFrames(of room: LoopRoom) {
        rings.removeAll(of: room)
        replays.forget(room.name)
    }

    private func scheduleExpiry(in amount: TimeAmount) {
        guard !isExpiryScheduled else { return }
        isExpiryScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: amount) { [self] in
            isExpiryScheduled = false
            if let next = replays.expire(at: eventLoop.now) { scheduleExpiry(in: next - eventLoop.now) }
        }
    }
}
