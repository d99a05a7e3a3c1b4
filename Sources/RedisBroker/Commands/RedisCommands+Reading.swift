import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// What is in the log, and giving back to it.
extension RedisCommands {
    func read(_ room: RoomName, after position: Position, limit: Int) -> EventLoopFuture<LogSlice> {
        page(.readAfter, of: room, from: position.description, limit: limit) { $0.slice(after: position) }
    }

    func readLatest(_ room: RoomName, before position: Position?, limit: Int) -> EventLoopFuture<LogSlice> {
        page(.readLatest, of: room, from: position?.description ?? "+", limit: limit) { $0.latest() }
    }

    private func page(
        _ script: Script, of room: RoomName, from position: String, limit: Int,
        _ slice: @escaping (LogReply) -> LogSlice
    ) -> EventLoopFuture<LogSlice> {
        let arguments: [Argument] = [.text(position), .integer(max(0, limit)), .integer(configuration.pageBytes)]
        return ask { [self] completion in
            link.run(script, keys: [keys.log(room)], arguments, completion)
        } as: { reply in
            LogReply(reply).map(slice)
        }
    }

    func ends(of logs: [ExpectedEnd]) -> EventLoopFuture<[LogEnd]> {
        eventLoop.assertInEventLoop()
        guard !logs.isEmpty else { return eventLoop.makeSucceededFuture([]) }
        let promise = eventLoop.makePromise(of: [LogEnd].self)
        // A call's keys share a slot.
        let calls =
            link.isSharded
            ? Array(Dictionary(grouping: logs.indices) { HashSlot.of(logs[$0].room) }.values)
            : [Array(logs.indices)]
        var ends = Array(repeating: LogEnd.unknown, count: logs.count)
        var open = calls.count
        for places in calls {
            link.run(
                .ends, keys: places.map { keys.log(logs[$0].room) },
                places.map { .text(logs[$0].position?.description ?? "") }
            ) { result in
                if case .success(let reply) = result, let answers = EndsReply.ends(reply, count: places.count) {
                    for (place, end) in zip(places, answers) { ends[place] = end }
                }
                open -= 1
                if open == 0 { promise.succeed(ends) }
            }
        }
        return promise.futureResult
    }

    func restore(_ tail: [LogEntry], after previous: Position?, to room: RoomName) -> EventLoopFuture<Restoration> {
        restore(tail[...], after: previous, to: room, outcome: .restored)
    }

    /// In pieces, oldest first: each is of a size that Redis has done with at once.
    private func restore(
        _ tail: ArraySlice<LogEntry>, after previous: Position?, to room: RoomName, outcome: Restoration
    ) -> EventLoopFuture<Restoration> {
        var bytes = 0
        let piece = tail.prefix { entry in
            defer { bytes += entry.body.readableBytes }
            return bytes <= configuration.appendBytes
        }
        guard !piece.isEmpty else { return eventLoop.makeSucceededFuture(outcome) }
        return restore(piece, after: previous, to: room).assumeIsolated().flatMap { [self] latest in
            if let previous, case .forked(let common) = latest, common < previous {
                return eventLoop.makeSucceededFuture(latest)
            }
            return restore(
                tail.dropFirst(piece.count), after: latest == .restored ? piece.last?.position : nil, to: room,
                outcome: outcome.and(latest))
        }.nonisolated()
    }

    private func restore(
        _ piece: ArraySlice<LogEntry>, after previous: Position?, to room: RoomName
    ) -> EventLoopFuture<Restoration> {
        var arguments: [Argument] = [
            .text(keys.channel(room)),
            .integer(configuration.logTimeToLive),
            .integer(Int(configuration.retryWindow.nanoseconds / 1_000_000)),
            .text(link.generation(for: room).current ?? ""),
            .text(previous?.description ?? ""),
        ]
        for entry in piece {
            arguments.append(.text(entry.position.description))
            arguments.append(.text(String(entry.time)))
            arguments.append(.integer(StoredMessage.identityLength(of: entry.body) ?? 0))
            arguments.append(.bytes(entry.body))
        }
        return ask { [self] completion in
            link.run(.restore, keys: [keys.log(room), keys.retried(room)], arguments, completion)
        } as: { reply in
            if case .integer(0) = reply { return .restored }
            return reply.position.map { .forked(at: $0) }
        }
    }

    func ask<Answer: Sendable>(
        _ send: (@escaping RedisConnection.Completion) -> Void, as read: @escaping (Reply) -> Answer?
    ) -> EventLoopFuture<Answer> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Answer.self)
        send { result in
            switch result {
            case .failure(let error): promise.fail(error)
            case .success(let reply):
                if let answer = read(reply) {
                    promise.succeed(answer)
                } else {
                    promise.fail(BrokerError.malformed("what is under our key in Redis is not ours"))
                }
            }
        }
        return promise.futureResult
    }
}

extension Restoration {
    /// What became of two pieces of a tail: they have in common with the log what both have.
    fileprivate func and(_ other: Restoration) -> Restoration {
        switch (self, other) {
        case (.forked(let position), .forked(let later)): .forked(at: min(position, later))
        case (.forked, .restored): self
        case (.restored, _): other
        }
    }
}
