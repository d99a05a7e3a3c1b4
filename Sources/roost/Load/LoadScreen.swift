import LoadTest
import Synchronization

/// Shows a run while it goes on: on a terminal some lines that change, elsewhere one line after the other.
final class LoadScreen: Sendable {
    private let isTerminal = OutputLines.isTerminal
    /// Lines that are to be written over.
    private let height = Mutex(0)

    /// How often there is something to show.
    var interval: Duration { isTerminal ? .milliseconds(500) : .seconds(1) }

    func show(_ event: LoadEvent) {
        guard isTerminal else {
            switch event {
            case .progress(let progress): OutputLines.write(progress.line)
            case .note(let text): OutputLines.write("* \(text)")
            }
            return
        }
        height.withLock { height in
            var text = Self.erase(height)
            height = 0
            switch event {
            case .progress(let progress):
                let lines = LiveView.lines(progress)
                text += lines.map { $0 + "\n" }.joined()
                height = lines.count
            case .note(let note):
                text += "\u{1B}[33m* \(note)\u{1B}[0m\n"
            }
            OutputLines.write(text, terminator: "")
        }
    }

    /// Makes room for the report.
    func end() {
        guard isTerminal else { return }
        height.withLock { height in
            OutputLines.write(Self.erase(height), terminator: "")
            height = 0
        }
    }

    private static func erase(_ lines: Int) -> String {
        lines == 0 ? "" : "\u{1B}[\(lines)A\u{1B}[J"
    }
}
