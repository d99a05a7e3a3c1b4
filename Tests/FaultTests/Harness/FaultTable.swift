import Foundation
import Synchronization
import TestSupport
import Testing

/// The README's table of what happens when something fails, as the rows have measured it: printed after all of them.
final class FaultTable: Sendable {
    static let shared = FaultTable()

    /// In this order.
    enum Section: Int, Sendable {
        case nothing, gateways, store, network, publications, standIns, clients
    }

    struct Line: Sendable {
        var section: Section
        /// What fails.
        var fault: String
        /// What a client sees.
        var seen: String
        /// How long after the end of the fault everybody was served again; nil where it has no end.
        var healed: Duration?
        /// How long a member was brought nothing.
        var silence: Duration?

        fileprivate var words: String { "| \(fault) | \(seen) |" }

        fileprivate var markdown: String { words + Self.cell(healed) + Self.cell(silence) }

        /// Rounded up: what was measured is a bound.
        private static func cell(_ duration: Duration?) -> String {
            duration.map { String(format: " %.1f s |", ($0 / .milliseconds(100)).rounded(.up) / 10) } ?? " |"
        }
    }

    private let lines = Mutex<[Line]>([])
    private let readme = Result { try String(contentsOf: Checkout.url.appending(path: "README.md"), encoding: .utf8) }

    /// Notes a line, which the README must have, in the same words.
    func add(_ line: Line) throws {
        lines.withLock { $0.append(line) }
        let isThere = try readme.get().contains(line.words)
        #expect(isThere, "the README's table has no line that begins: \(line.words)")
    }

    var markdown: String {
        let lines = lines.withLock { $0 }.enumerated()
            .sorted { ($0.element.section.rawValue, $0.offset) < ($1.element.section.rawValue, $1.offset) }
        return
            (["| what fails | what a client sees | healed | silence |", "|---|---|---|---|"]
            + lines.map(\.element.markdown)).joined(separator: "\n")
    }
}

/// Prints the table when the suite has ended.
struct PrintsTable: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        defer { print("\(FaultTable.shared.markdown)\n") }
        try await function()
    }
}

extension Trait where Self == PrintsTable {
    static var printsTable: PrintsTable { PrintsTable() }
}
