import ChatHub
import ChatProtocol
import NIOCore
import NIOEmbedded

/// One loop's commands over a simulated link. Appends of one turn travel together, one call is under way at a time, and a
/// call that the store puts off is sent again, as in Redis.
///
/// `@unchecked Sendable`: everything in a simulation happens on the test's thread.
final class SimulatedCommands: BrokerCommands, @unchecked Sendable {
    private struct Waiting {
        var draft: Draft
        var deadline: NIODeadline
        var completion: (Result<Receipt, BrokerError>) -> Void
    }

    let link: SimulatedLink
    private let loop: EmbeddedEventLoop
    private var waiting: [Waiting] = []
    private var known = Position.zero
    private var isUnderWay = false
    private var isScheduled = false
    private static let draftsInACall = 5

    init(link: SimulatedLink) {
        self.link = link
        loop = link.loop
    }

    // MARK: - Appending

    func append(
        _ draft: Draft, to room: RoomName, known: Position,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        waiting.append(
            Waiting(draft: draft, deadline: loop.now + SimulatedLink.commandTimeout, completion: completion))
        self.known = max(self.known, known)
        schedule(at: loop.now)
    }

    private func schedule(at time: NIODeadline) {
        guard !isScheduled else { return }
        isScheduled = true
        loop.assumeIsolated().scheduleTask(deadline: time) { [self] in
            isScheduled = false
            sendAppends()
        }
    }

    private func sendAppends() {
        while let first = waiting.first, first.deadline <= loop.now {
            waiting.removeFirst()
                .completion(.failure(BrokerError(code: .unavailable, message: "waited too long")))
        }
        guard !isUnderWay, !waiting.isEmpty else { return }
        let call = Array(waiting.prefix(Self.draftsInACall))
        waiting.removeFirst(call.count)
        isUnderWay = true
        let (drafts, known, isSettled) = (call.map(\.draft), known, link.settles == nil)
        link.send({ $0.append(drafts, known: known, isSettled: isSettled) }) { [self] result in
            isUnderWay = false
            switch result {
            case .success(nil):
                waiting = call + waiting
                return schedule(at: max(link.settles ?? loop.now, loop.now + .milliseconds(10)))
            case .success(.some(let receipts)):
                for (waiting, receipt) in zip(call, receipts) { waiting.completion(.success(receipt)) }
            case .failure(let error):
                for waiting in call { waiting.completion(.failure(error)) }
            }
            sendAppends()
        }
    }

    // MARK: - The rest

    func announce(_ event: ByteBuffer, from origin: SessionID, in room: RoomName) {
        link.send({ $0.publish($0, .signal(event, origin: origin)) }) { _ in }
    }

    func read(_ room: RoomName, after position: Position, limit: Int) -> EventLoopFuture<LogSlice> {
        ask { $0.log.read(after: position, limit: limit) }
    }

    func readLatest(_ room: RoomName, before position: Position?, limit: Int) -> EventLoopFuture<LogSlice> {
        ask { $0.log.readLatest(before: position, limit: limit) }
    }

    func ends(of logs: [ExpectedEnd]) -> EventLoopFuture<[LogEnd]> {
        ask { store in logs.map { $0.position == store.log.head ? .asExpected : .at(store.log.head) } }
            .flatMapErrorThrowing { _ in logs.map { _ in .unknown } }
    }

    func restore(_ tail: [LogEntry], after previous: Position?, to room: RoomName) -> EventLoopFuture<Restoration> {
        ask { $0.restore(tail, after: previous) }
    }

    func enter(_ room: RoomName, session: SessionID, user: UserName) -> EventLoopFuture<Roster> {
        ask { $0.enter(session, user: user, named: 100) }
    }

    func leave(_ room: RoomName, session: SessionID) {
        link.send({ $0.leave(session) }) { _ in }
    }

    func roster(of room: RoomName, limit: Int) -> EventLoopFuture<Roster> {
        ask { $0.roster(limit: limit) }
    }

    func members(of room: RoomName, after user: UserName?, limit: Int) -> EventLoopFuture<Roster> {
        ask { $0.roster(limit: limit) }
    }

    private func ask<Answer: Sendable>(_ question: @escaping (SimulatedStore) -> Answer) -> EventLoopFuture<Answer> {
        let promise = loop.makePromise(of: Answer.self)
        link.send(question) { result in promise.completeWith(result.mapError { $0 as any Error }) }
        return promise.futureResult
    }
}
