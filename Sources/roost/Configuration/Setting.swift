/// One setting of `roost serve`: what it is called, which values it takes, and where the value goes.
///
/// The name is the flag's without dashes, the key in the configuration file, and in capitals the environment variable.
struct Setting: Sendable {
    /// Where the flag's text stands after parsing.
    enum Flag: Sendable {
        case value(any KeyPath<ServeOptions, String?> & Sendable)
        case values(any KeyPath<ServeOptions, [String]> & Sendable)
        case toggle(any KeyPath<ServeOptions, Bool?> & Sendable)
    }

    /// How the value stands in the configuration file.
    enum FileForm: Sendable {
        case string, integer, number, boolean, strings
    }

    let name: String
    let summary: String
    /// What is accepted, to complete "must be …".
    let accepted: String
    let defaultText: String
    /// May hold a password: never shown.
    let isSecret: Bool
    let flag: Flag
    let fileForm: FileForm
    /// Stores the value that the text stands for; false when it stands for none that is accepted.
    let apply: @Sendable (_ text: String, _ configuration: inout ServeConfiguration) -> Bool

    var environmentName: String { "ROOST_" + name.uppercased().replacing("-", with: "_") }
}

/// The kinds of settings that there are.
extension Setting {
    typealias Field<Value> = any WritableKeyPath<ServeConfiguration, Value> & Sendable
    typealias ValueFlag = any KeyPath<ServeOptions, String?> & Sendable

    /// Any setting that is written as one text.
    static func value<Value>(
        _ name: String, _ field: Field<Value>, flag: ValueFlag, form: FileForm = .string, isSecret: Bool = false,
        accepted: String, default defaultText: String, _ summary: String,
        parse: @escaping @Sendable (String) -> Value?
    ) -> Setting {
        Setting(
            name: name, summary: summary, accepted: accepted, defaultText: defaultText, isSecret: isSecret,
            flag: .value(flag), fileForm: form,
            apply: { text, configuration in
                guard let value = parse(text) else { return false }
                configuration[keyPath: field] = value
                return true
            })
    }

    static func text(
        _ name: String, _ field: Field<String>, flag: ValueFlag, isSecret: Bool = false, accepted: String,
        default defaultText: String? = nil, _ summary: String, where isAccepted: @escaping @Sendable (String) -> Bool
    ) -> Setting {
        .value(
            name, field, flag: flag, isSecret: isSecret, accepted: accepted,
            default: defaultText ?? ServeConfiguration()[keyPath: field], summary,
            parse: { isAccepted($0) ? $0 : nil })
    }

    static func address(_ name: String, _ field: Field<ListenAddress>, flag: ValueFlag, _ summary: String) -> Setting {
        .value(
            name, field, flag: flag, accepted: "HOST:PORT with a port from 0 (a free one) to 65535",
            default: "\(ServeConfiguration()[keyPath: field])", summary, parse: { ListenAddress($0) })
    }

    static func integer(
        _ name: String, _ field: Field<Int>, flag: ValueFlag, _ range: ClosedRange<Int>,
        default defaultText: String? = nil, _ summary: String
    ) -> Setting {
        .value(
            name, field, flag: flag, form: .integer,
            accepted: "an integer from \(range.lowerBound) to \(range.upperBound)",
            default: defaultText ?? "\(ServeConfiguration()[keyPath: field])", summary,
            parse: { text in Int(text).flatMap { range.contains($0) ? $0 : nil } })
    }

    /// A duration in seconds, with a fraction if need be.
    static func seconds(
        _ name: String, _ field: Field<Duration>, flag: ValueFlag, _ range: ClosedRange<Double>, _ summary: String
    ) -> Setting {
        .value(
            name, field, flag: flag, form: .number,
            accepted: "a number of seconds from \(short(range.lowerBound)) to \(short(range.upperBound))",
            default: short(ServeConfiguration()[keyPath: field] / .seconds(1)), summary,
            parse: { text in
                Double(text).flatMap { range.contains($0) ? .milliseconds(Int64(($0 * 1000).rounded())) : nil }
            })
    }

    static func choice<Value: RawRepresentable<String> & CaseIterable & SendableMetatype>(
        _ name: String, _ field: Field<Value>, flag: ValueFlag, _ summary: String
    ) -> Setting {
        .value(
            name, field, flag: flag,
            accepted: "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "),
            default: ServeConfiguration()[keyPath: field].rawValue, summary, parse: { Value(rawValue: $0) })
    }

    static func list(
        _ name: String, _ field: Field<[String]>, flag: any KeyPath<ServeOptions, [String]> & Sendable,
        accepted: String,
        default defaultText: String, _ summary: String, where isAccepted: @escaping @Sendable (String) -> Bool
    ) -> Setting {
        Setting(
            name: name, summary: summary, accepted: accepted, defaultText: defaultText, isSecret: false,
            flag: .values(flag), fileForm: .strings,
            apply: { text, configuration in
                let values = text.split(separator: ",").map { $0.trimmingPrefix(while: \.isWhitespace) }.map(
                    String.init)
                guard values.allSatisfy(isAccepted) else { return false }
                configuration[keyPath: field] = values
                return true
            })
    }

    static func toggle(
        _ name: String, _ field: Field<Bool>, flag: any KeyPath<ServeOptions, Bool?> & Sendable, _ summary: String
    ) -> Setting {
        Setting(
            name: name, summary: summary, accepted: "true or false",
            defaultText: "\(ServeConfiguration()[keyPath: field])", isSecret: false,
            flag: .toggle(flag), fileForm: .boolean,
            apply: { text, configuration in
                guard let value = Bool(text) else { return false }
                configuration[keyPath: field] = value
                return true
            })
    }

    private static func short(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds)
    }
}
