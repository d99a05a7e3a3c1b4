import Dispatch
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The lines of standard input, each read when it is asked for, on a thread of its own: neither an event loop nor the
/// tasks' threads wait for a keyboard.
struct InputLines: Sendable {
    private let queue = DispatchQueue(label: "roost.chat.input")

    /// Nil at the end, and when the task is cancelled; what is being read then is lost.
    func next() async -> String? {
        let reading = Reading()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                reading.begin(continuation)
                queue.async { reading.end(with: readLine()) }
            }
        } onCancel: {
            reading.end(with: nil)
        }
    }

    /// One line's way to the one who waits for it, which a cancellation may cut short, even before it began.
    private final class Reading: Sendable {
        private struct State {
            var waiter: CheckedContinuation<String?, Never>?
            var isOver = false
        }

        private let state = Mutex(State())

        func begin(_ continuation: CheckedContinuation<String?, Never>) {
            let isOver = state.withLock { state in
                if !state.isOver { state.waiter = continuation }
                return state.isOver
            }
            if isOver { continuation.resume(returning: nil) }
        }

        func end(with line: String?) {
            let waiter = state.withLock { state in
                state.isOver = true
                return state.waiter.take()
            }
            waiter?.resume(returning: line)
        }
    }

    static var isTerminal: Bool { isatty(STDIN_FILENO) == 1 }
}

/// Standard output, line by line; safe to use from several tasks.
enum OutputLines {
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    static func write(_ line: String, terminator: String = "\n") {
        let bytes = Array((line + terminator).utf8)
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { system(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            // A closed pipe: nobody reads any more.
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }

    private static func system(_ file: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
        #if canImport(Glibc)
        Glibc.write(file, bytes, count)
        #elseif canImport(Musl)
        Musl.write(file, bytes, count)
        #else
        Darwin.write(file, bytes, count)
        #endif
    }
}
