package import ChatHub

/// Builds a page in Prometheus' text format, version 0.0.4.
package struct PrometheusText {
    package private(set) var text = ""

    package init() {}

    package enum Kind: String {
        case counter
        case gauge
    }

    /// One metric without labels.
    package mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: some CustomStringConvertible) {
        describe(name, kind.rawValue, help)
        text += "\(name) \(value)\n"
    }

    /// One metric with a value per label value.
    package mutating func add<Value: CustomStringConvertible>(
        _ name: String, _ kind: Kind, _ help: String, by label: String, _ values: [(String, Value)]
    ) {
        describe(name, kind.rawValue, help)
        for (value, count) in values { text += "\(name){\(label)=\"\(Self.escape(value))\"} \(count)\n" }
    }

    /// A histogram in seconds.
    package mutating func add(_ name: String, _ help: String, _ histogram: LatencyHistogram) {
        describe(name, "histogram", help)
        var sum = 0
        for (bound, count) in zip(LatencyHistogram.bounds, histogram.counts) {
            sum += count
            text += "\(name)_bucket{le=\"\(Double(bound) / 1e6)\"} \(sum)\n"
        }
        text += "\(name)_bucket{le=\"+Inf\"} \(histogram.count)\n"
        text += "\(name)_sum \(Double(histogram.sumMicroseconds) / 1e6)\n"
        text += "\(name)_count \(histogram.count)\n"
    }

    private mutating func describe(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private static func escape(_ value: String) -> String {
        var escaped = ""
        for character in value {
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
