import ChatProtocol
import NIOCore

/// Finds out what a join replays: from memory if it reaches back far enough, else from the log.
extension LoopHub {
    struct ReplayPlan: Sendable, Equatable {
        /// Where the replay begins; nil where there is none.
        var start: Position?
        /// Only for a resume: whether everything after the given position follows.
        var recovered: Bool?
        /// What the client has after this position is void.
        var rewind: Position?
    }

    func plan(_ replay: Replay, in room: LoopRoom) -> EventLoopFuture<ReplayPlan> {
        switch replay {
        case .none, .latest(0):
            return eventLoop.makeSucceededFuture(ReplayPlan())
        case .latest(let count):
            return replayLatest(count, ReplayPlan(), in: room)
        case .since(let position, let limit):
            if let isWhole = isInMemory(after: position, limit: limit, in: room) {
                metrics.ringResumes += 1
                return eventLoop.makeSucceededFuture(ReplayPlan(start: position, recovered: isWhole))
            }
            return resume(Resumption(since: position, limit: limit), after: position, in: room)
        }
    }

    /// Whether what was missed can be told without the log, and is all there; nil when the log must be asked.
    private func isInMemory(after position: Position, limit: Int?, in room: LoopRoom) -> Bool? {
        // Nothing was missed, and both of us know it from the same log.
        if position == room.position, position != .zero { return true }
        if let missed = room.ring.missed(after: position), missed.messages <= limit ?? .max { return missed.isWhole }
        if limit == nil, let read = replays.delivery(after: position, in: room.name), !read.hasGap { return true }
        return nil
    }

    private func resume(
        _ resumption: Resumption, after position: Position, in room: LoopRoom
    ) -> EventLoopFuture<ReplayPlan> {
        let promise = eventLoop.makePromise(of: ReplayPlan.self)
        let asked = room.position
        read(
            after: position, in: room,
            for: .resuming { [self] result in
                switch result {
                case .failure(let error):
                    promise.fail(error)
                case .success((let page, let place)):
                    var resumption = resumption
                    let hadParted = resumption.hasParted
                    let step = resumption.received(page, at: place)
                    // Frames that were read before may be of the other history.
                    if resumption.hasParted, !hadParted { replays.forget(room.name) }
                    var plan = ReplayPlan(recovered: false, rewind: resumption.rewind)
                    switch step {
                    case .replay(let start, let recovered):
                        plan.start = start
                        plan.recovered = recovered
                        promise.succeed(plan)
                    case .nothingLeft:
                        // What was delivered since the question follows.
                        plan.start = asked
                        promise.succeed(plan)
                    case .replayLatest(let count):
                        promise.completeWith(replayLatest(count, plan, in: room))
                    case .read(let next):
                        promise.completeWith(resume(resumption, after: next, in: room))
                    }
                }
            })
        return promise.futureResult
    }

    private func replayLatest(_ count: Int, _ plan: ReplayPlan, in room: LoopRoom) -> EventLoopFuture<ReplayPlan> {
        var plan = plan
        if let start = room.ring.position(beforeLatest: count) {
            plan.start = start
            return eventLoop.makeSucceededFuture(plan)
        }
        let promise = eventLoop.makePromise(of: ReplayPlan.self)
        let asked = room.position
        readLatest(count, in: room) { result in
            promise.completeWith(
                result.map { page, place in
                    let entries = page.slice.entries
                    var plan = plan
                    if place.index > 0 {
                        plan.start = entries[place.index - 1].position
                    } else {
                        plan.start = entries.first?.position.predecessor ?? asked
                    }
                    return plan
                }.mapError { $0 as any Error })
        }
        return promise.futureResult
    }
}
