import Configuration
import Foundation

/// What is wrong with the settings, one line for each.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    var problems: [String]

    var description: String { problems.joined(separator: "\n") }
}

extension ServeConfiguration {
    /// Flags go before the environment, the environment before the file, the file before the defaults.
    ///
    /// - Parameter options: The flags. Their `config`, or else `ROOST_CONFIG`, names the file.
    static func load(
        from options: ServeOptions, environment: [String: String]
    ) throws(ConfigurationError) -> ServeConfiguration {
        var sources = [Source(flags: options), Source(environment: environment)]
        var problems: [String] = []
        if let path = options.config ?? environment["ROOST_CONFIG"], !path.isEmpty {
            let (file, unknown) = try Source.file(path)
            sources.append(file)
            problems += unknown
        }

        var configuration = ServeConfiguration()
        for setting in Setting.all {
            // The first source that has the setting decides: a wrong value there does not let a lower one through.
            for source in sources {
                do {
                    guard let text = try source.text(of: setting) else { continue }
                    guard setting.apply(text, &configuration) else {
                        throw ConfigurationError(problems: [setting.problem(with: text, from: source.name(setting))])
                    }
                } catch let error as ConfigurationError {
                    problems += error.problems
                } catch {
                    problems.append(setting.problem(with: nil, from: source.name(setting)))
                }
                break
            }
        }
        if configuration.drainDeadline < configuration.drainTime {
            problems.append("drain-deadline must not be less than drain-time")
        }
        problems += configuration.problemsWithAuthentication
        if configuration.tlsCert.isEmpty != configuration.tlsKey.isEmpty {
            problems.append("tls-cert and tls-key belong together: give both")
        }
        if !configuration.opsClientCA.isEmpty, configuration.tlsCert.isEmpty {
            problems.append("ops-client-ca needs tls-cert and tls-key")
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
        return configuration
    }
}

extension ServeConfiguration {
    var hasAuthentication: Bool { !authSecret.isEmpty || !authKeysFile.isEmpty || !apiKeyHashes.isEmpty }

    fileprivate var problemsWithAuthentication: [String] {
        if hasAuthentication, insecureNoAuth {
            return ["insecure-no-auth contradicts auth-secret, auth-keys-file and api-key-hashes: leave it out"]
        }
        if !hasAuthentication, !insecureNoAuth, !listen.isLoopback {
            return [
                "listen: \(listen) can be reached from other machines, where everybody could take any name: give "
                    + "auth-secret or auth-keys-file, or say insecure-no-auth"
            ]
        }
        return []
    }
}

extension Setting {
    fileprivate func problem(with text: String?, from source: String) -> String {
        let shown = isSecret ? nil : text.map { " '\(escapedForLog($0, limit: 128))'" }
        return "\(name): the value\(shown ?? "") from \(source) must be \(accepted)"
    }
}

/// One place where settings stand.
private struct Source {
    /// How the place of a setting is called in messages.
    let name: (Setting) -> String
    private let snapshot: any ConfigSnapshot
    private let key: (Setting) -> AbsoluteConfigKey
    /// Values have JSON types, not only texts.
    private let isTyped: Bool

    init(flags: ServeOptions) {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for setting in Setting.all {
            guard let text = flags.text(of: setting.flag) else { continue }
            values[AbsoluteConfigKey([setting.name])] = ConfigValue(.string(text), isSecret: setting.isSecret)
        }
        name = { "the flag --\($0.name)" }
        snapshot = InMemoryProvider(name: "flags", values: values).snapshot()
        key = { AbsoluteConfigKey([$0.name]) }
        isTyped = false
    }

    init(environment: [String: String]) {
        name = { "the environment variable \($0.environmentName)" }
        // An empty variable counts as absent: compose files and shells hand them on that way.
        snapshot = EnvironmentVariablesProvider(environmentVariables: environment.filter { !$0.value.isEmpty })
            .snapshot()
        key = { AbsoluteConfigKey(["roost", $0.name]) }
        isTyped = false
    }

    private init(path: String, snapshot: JSONSnapshot) {
        name = { _ in "the file \(path)" }
        self.snapshot = snapshot
        key = { AbsoluteConfigKey([$0.name]) }
        isTyped = true
    }

    /// The file's settings, and a line for each key in it that is none.
    static func file(_ path: String) throws(ConfigurationError) -> (Source, unknown: [String]) {
        let malformed = ConfigurationError(problems: [
            "config: the file \(path) must be one JSON object of strings, numbers, booleans and lists of strings"
        ])
        do {
            let data = try Data(contentsOf: URL(filePath: path))
            guard let object = try JSONSerialization.jsonObject(with: data) as? [String: Any],
                !object.values.contains(where: { $0 is [String: Any] || $0 is NSNull })
            else { throw malformed }
            let snapshot = try JSONSnapshot(data: data.span.bytes, providerName: path, parsingOptions: .default)
            let names = Set(Setting.all.map(\.name))
            let unknown = object.keys.sorted().filter { !names.contains($0) }
                .map { "'\(escapedForLog($0, limit: 128))' in the file \(path) is not a setting" }
            return (Source(path: path, snapshot: snapshot), unknown)
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile {
            throw ConfigurationError(problems: ["config: there is no file \(path)"])
        } catch let error as CocoaError where error.code == .fileReadNoPermission {
            throw ConfigurationError(problems: ["config: the file \(path) may not be read"])
        } catch {
            throw malformed
        }
    }

    /// - Throws: when there is a value of a type that the setting does not take.
    func text(of setting: Setting) throws -> String? {
        func content(_ type: ConfigType) throws -> ConfigContent? {
            try snapshot.value(forKey: key(setting), type: type).value?.content
        }
        let type: ConfigType =
            switch setting.fileForm {
            case _ where !isTyped: .string
            case .string: .string
            case .integer: .int
            case .number: .double
            case .boolean: .bool
            case .strings: .stringArray
            }
        return switch try content(type) {
        case .string(let text): text
        case .int(let value): String(value)
        case .double(let value): String(value)
        case .bool(let value): String(value)
        case .stringArray(let values): values.joined(separator: ",")
        case .bytes, .intArray, .doubleArray, .boolArray, .byteChunkArray, nil: nil
        }
    }
}
