import Synchronization

/// Things that one side puts and the other waits for.
final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var items: [Element] = []
        var waiters: [CheckedContinuation<Element, Never>] = []
    }

    private let state = Mutex(State())

    func put(_ element: Element) {
        let waiter = state.withLock { state -> CheckedContinuation<Element, Never>? in
            guard state.waiters.isEmpty else { return state.waiters.removeFirst() }
            state.items.append(element)
            return nil
        }
        waiter?.resume(returning: element)
    }

    func take() async -> Element {
        await withCheckedContinuation { continuation in
            let item = state.withLock { state -> Element? in
                guard state.items.isEmpty else { return state.items.removeFirst() }
                state.waiters.append(continuation)
                return nil
            }
            if let item { continuation.resume(returning: item) }
        }
    }
}
