import NIOCore
import Synchronization

/// The events of a ``ChatClient``, in order, bounded by ``ChatClient/Configuration/eventBuffer``.
///
/// Events are kept from the first use of ``ChatClient/events`` on, until the loop over them is left; without a reader
/// there are none. Two loops at once would share them. The sequence ends when the client was closed or has given up.
public struct ClientEvents: AsyncSequence, Sendable {
    public typealias Element = ClientEvent

    let engine: EngineReference

    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: Reader(engine))
    }

    /// One reader of the events.
    public struct Iterator: AsyncIteratorProtocol {
        private let reader: Reader
        private var batch: ArraySlice<ClientEvent> = []

        fileprivate init(reader: Reader) {
            self.reader = reader
        }

        /// Nil after the last event, and when the task is cancelled.
        public mutating func next() async -> ClientEvent? {
            if batch.isEmpty { batch = await reader.nextBatch()[...] }
            return batch.popFirst()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async -> ClientEvent? {
            if batch.isEmpty { batch = await reader.nextBatch()[...] }
            return batch.popFirst()
        }
    }

    /// Its end is the reader's going away.
    fileprivate final class Reader: Sendable {
        private let engine: EngineReference

        init(_ engine: EngineReference) {
            self.engine = engine
            engine.run { $0.wantEvents() }
        }

        deinit {
            engine.run { $0.unwantEvents() }
        }

        /// One hop to the client's loop for all that is there.
        func nextBatch() async -> [ClientEvent] {
            let id = Self.numbers.add(1, ordering: .relaxed).newValue
            let isCancelled = Flag()
            return await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    engine.run { engine in
                        if isCancelled.isSet { return continuation.resume(returning: []) }
                        engine.nextEvents(id: id) { continuation.resume(returning: $0) }
                    }
                }
            } onCancel: {
                isCancelled.set()
                engine.run { $0.cancelNextEvents(id: id) }
            }
        }

        private static let numbers = Atomic<Int>(0)
    }
}

/// Set once, before a cancellation is handed to the loop, so that what begins after it sees it.
final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { value.load(ordering: .acquiring) }

    func set() { value.store(true, ordering: .releasing) }
}

/// The way to an engine from anywhere: everything is done on the engine's loop, in the order of the calls.
///
/// `@unchecked Sendable`: the engine is touched nowhere but within `run`'s body, which the loop executes.
struct EngineReference: @unchecked Sendable {
    private let engine: ClientEngine
    private let eventLoop: any EventLoop

    init(_ engine: ClientEngine) {
        self.engine = engine
        eventLoop = engine.eventLoop
    }

    func run(_ body: @escaping @Sendable (ClientEngine) -> Void) {
        eventLoop.execute { body(self.engine) }
    }
}
