import Foundation
import Logging
import Synchronization
import Testing

@testable import roost

@Suite("Log lines")
struct LineLogHandlerTests {
    /// What a logger wrote. A lock, because a `Logger` may be used from any thread.
    private final class Lines: Sendable {
        private let text = Mutex("")
        var all: String { text.withLock { $0 } }
        func write(_ line: String) { text.withLock { $0 += line } }
    }

    private func logged(_ format: LogFormat, level: Logger.Level = .info, _ body: (inout Logger) -> Void) -> String {
        let lines = Lines()
        var logger = Logger(label: "test") {
            LineLogHandler(
                label: $0, level: level, format: format, now: { Date(timeIntervalSince1970: 1_700_000_000.25) },
                write: { lines.write($0) })
        }
        body(&logger)
        return lines.all
    }

    @Test("Text has time, level, label, message and sorted metadata")
    func text() {
        let line = logged(.text) { $0.info("listening", metadata: ["port": "80", "host": "a b"]) }
        #expect(line == "2023-11-14T22:13:20.250Z info test: listening host=\"a b\" port=80\n")
    }

    @Test("JSON is one object per line")
    func json() throws {
        let line = logged(.json) { logger in
            logger[metadataKey: "node"] = "n1"
            logger.warning("quote \" and \\ slash", metadata: ["list": ["a", ["k": "v"]]])
        }
        #expect(line.hasSuffix("}\n"))
        #expect(line.filter { $0 == "\n" }.count == 1)
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2023-11-14T22:13:20.250Z")
        #expect(object["level"] as? String == "warning")
        #expect(object["label"] as? String == "test")
        #expect(object["message"] as? String == "quote \" and \\ slash")
        let metadata = try #require(object["metadata"] as? [String: Any])
        #expect(metadata["node"] as? String == "n1")
        let list = try #require(metadata["list"] as? [Any])
        #expect(list.first as? String == "a")
        #expect((list.last as? [String: String]) == ["k": "v"])
    }

    @Test("What comes from outside cannot begin a line or move the cursor", arguments: LogFormat.allCases)
    func controlCharacters(format: LogFormat) {
        let line = logged(format) { $0.info("x", metadata: ["name": "a\n\u{1B}[2J\r\u{9B}\u{2028}b", "k\ney": "v"]) }
        #expect(line.unicodeScalars.dropLast().allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) })
        #expect(line.contains("\u{2028}") == false)
        #expect(line.contains("u{1b}") || line.contains("u001b"))
    }

    @Test("A long value is cut", arguments: LogFormat.allCases)
    func longValues(format: LogFormat) {
        let line = logged(format) { $0.info("x", metadata: ["name": .string(String(repeating: "é", count: 100_000))]) }
        #expect(line.utf8.count < 1300)
        #expect(line.contains("…"))
    }

    @Test("Nesting without end is cut")
    func deepValues() throws {
        var value: Logger.Metadata.Value = "x"
        for _ in 0..<1000 { value = .array([value]) }
        let line = logged(.json) { $0.info("x", metadata: ["deep": value]) }
        #expect(line.utf8.count < 300)
        _ = try JSONSerialization.jsonObject(with: Data(line.utf8))
    }

    @Test("Events below the level are not written")
    func level() {
        #expect(logged(.text, level: .warning) { $0.info("x") } == "")
        #expect(logged(.text, level: .debug) { $0.debug("x") }.contains(" debug "))
    }
}
