import Foundation
import Logging

/// Writes each event as one line, by ``LogFormat`` for a person or for a collector. Nothing that comes from outside can
/// begin a new line or move the cursor, and every part has a bound.
struct LineLogHandler: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let format: LogFormat
    private let now: @Sendable () -> Date
    private let write: @Sendable (String) -> Void

    /// Longer texts are cut; no name, address or reason that is worth reading is longer.
    static let valueLimit = 1024
    /// How deep and how many metadata are followed.
    private static let depthLimit = 4
    private static let countLimit = 64

    /// - Parameter write: Takes a whole line with its line feed; called from any thread.
    init(
        label: String, level: Logger.Level, format: LogFormat,
        now: @escaping @Sendable () -> Date = { Date() },
        write: @escaping @Sendable (String) -> Void = StandardError.write
    ) {
        self.label = label
        self.logLevel = level
        self.format = format
        self.now = now
        self.write = write
    }

    /// Sends the log of the whole process to standard error. To be called once, before the first `Logger` is made.
    static func bootstrap(level: Logger.Level, format: LogFormat) {
        LoggingSystem.bootstrap { LineLogHandler(label: $0, level: level, format: format) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var values = metadataProvider?.get() ?? [:]
        values.merge(metadata) { $1 }
        if let own = event.metadata { values.merge(own) { $1 } }
        if let error = event.error { values["error"] = "\(error)" }
        let time = now().ISO8601Format(.init(includingFractionalSeconds: true))
        switch format {
        case .text: write(textLine(event, time: time, values))
        case .json: write(jsonLine(event, time: time, values))
        }
    }

    private func textLine(_ event: LogEvent, time: String, _ values: Logger.Metadata) -> String {
        var line = "\(time) \(event.level.rawValue) \(label): "
        line += escapedForLog(event.message.description, limit: Self.valueLimit)
        for (key, value) in values.sorted(by: { $0.key < $1.key }).prefix(Self.countLimit) {
            let text = escapedForLog(value.description, limit: Self.valueLimit)
            let needsQuotes = text.isEmpty || text.contains { $0 == " " || $0 == "\"" || $0 == "=" }
            let shown = needsQuotes ? "\"" + text.replacing("\"", with: "\\\"") + "\"" : text
            line += " \(escapedForLog(key, limit: 64))=\(shown)"
        }
        return line + "\n"
    }

    private func jsonLine(_ event: LogEvent, time: String, _ values: Logger.Metadata) -> String {
        var line = #"{"time":"\#(time)","level":"\#(event.level.rawValue)","label":"#
        appendJSON(label, to: &line)
        line += #","message":"#
        appendJSON(event.message.description, to: &line)
        if !values.isEmpty {
            line += #","metadata":"#
            appendJSON(.dictionary(values), depth: 0, to: &line)
        }
        return line + "}\n"
    }

    private func appendJSON(_ value: Logger.Metadata.Value, depth: Int, to line: inout String) {
        switch value {
        case .string(let text):
            appendJSON(text, to: &line)
        case .stringConvertible(let value):
            appendJSON("\(value)", to: &line)
        case .array, .dictionary:
            guard depth < Self.depthLimit else {
                line += #""…""#
                return
            }
            appendNested(value, depth: depth, to: &line)
        }
    }

    private func appendNested(_ value: Logger.Metadata.Value, depth: Int, to line: inout String) {
        switch value {
        case .string, .stringConvertible:
            appendJSON(value, depth: depth, to: &line)
        case .array(let values):
            line += "["
            for (index, value) in values.prefix(Self.countLimit).enumerated() {
                if index > 0 { line += "," }
                appendJSON(value, depth: depth + 1, to: &line)
            }
            line += "]"
        case .dictionary(let values):
            line += "{"
            for (index, (key, value)) in values.sorted(by: { $0.key < $1.key }).prefix(Self.countLimit).enumerated() {
                if index > 0 { line += "," }
                appendJSON(key, to: &line)
                line += ":"
                appendJSON(value, depth: depth + 1, to: &line)
            }
            line += "}"
        }
    }

    /// A JSON string (RFC 8259, section 7), cut to ``valueLimit``.
    private func appendJSON(_ text: String, to line: inout String) {
        line += "\""
        var length = 0
        for scalar in text.unicodeScalars {
            guard length < Self.valueLimit else {
                line += "…"
                break
            }
            length += UTF8.width(scalar)
            switch scalar.value {
            case 0x22: line += "\\\""
            case 0x5C: line += "\\\\"
            case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029:
                let digits = String(scalar.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }
}
