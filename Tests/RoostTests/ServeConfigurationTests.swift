import ArgumentParser
import Foundation
import Testing

@testable import roost

@Suite("Settings of roost serve")
struct ServeConfigurationTests {
    private func load(
        _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil
    ) throws -> ServeConfiguration {
        var arguments = arguments
        let url = FileManager.default.temporaryDirectory.appending(path: "roost-\(UUID().uuidString).json")
        if let file {
            try Data(file.utf8).write(to: url)
            arguments += ["--config", url.path()]
        }
        defer { try? FileManager.default.removeItem(at: url) }
        return try ServeConfiguration.load(from: ServeOptions.parse(arguments), environment: environment)
    }

    private func problems(
        _ arguments: [String] = [], environment: [String: String] = [:], file: String? = nil
    ) -> [String] {
        do {
            _ = try load(arguments, environment: environment, file: file)
            return []
        } catch let error as ConfigurationError {
            return error.problems
        } catch {
            return ["\(error)"]
        }
    }

    /// A value that differs from the default, and the same as JSON.
    private static func example(of setting: Setting) -> (text: String, json: String) {
        switch setting.name {
        case "listen", "ops-listen": ("[::1]:7000", #""[::1]:7000""#)
        case "node", "redis-prefix": ("north-1", #""north-1""#)
        case "redis":
            ("rediss://bob:secret@redis.example.org:6380/2", #""rediss://bob:secret@redis.example.org:6380/2""#)
        case "redis-ca-file": ("/etc/ca.pem", #""/etc/ca.pem""#)
        case "redis-server-name": ("redis.internal", #""redis.internal""#)
        case "allowed-origins":
            (
                "https://a.example.org,http://b.example.org:8080",
                #"["https://a.example.org","http://b.example.org:8080"]"#
            )
        case "auth-secret":
            ("a secret of more than thirty-two bytes", #""a secret of more than thirty-two bytes""#)
        case "auth-secret-algorithm": ("HS512", #""HS512""#)
        case "auth-keys-file": ("/etc/keys.json", #""/etc/keys.json""#)
        case "auth-issuer", "auth-audience": ("us", #""us""#)
        case "tls-cert", "tls-key", "ops-client-ca": ("/etc/some.pem", #""/etc/some.pem""#)
        case "auth-leeway": ("7", "7")
        case "trusted-proxies": ("10.0.0.0/8,::1", #"["10.0.0.0/8", "::1"]"#)
        case "api-key-hashes":
            (String(repeating: "0a", count: 32), #"["\#(String(repeating: "0a", count: 32))"]"#)
        case _ where setting.fileForm == .boolean: ("true", "true")
        case "log-level": ("debug", #""debug""#)
        case "log-format": ("json", #""json""#)
        case "max-unread-bytes": ("2000000", "2000000")
        case "max-json-depth": ("12", "12")
        case "max-header-bytes": ("5000", "5000")
        case "redis-command-timeout": ("1.5", "1.5")
        case "ack-replicas": ("1", "1")
        case "drain-deadline": ("100", "100")
        case "drain-time": ("3.5", "3.5")
        case "history-age": ("61.5", "61.5")
        default: setting.fileForm == .number ? ("7.25", "7.25") : ("300", "300")
        }
    }

    /// Flags without which a setting is refused.
    private static func neededWith(_ setting: Setting) -> [String] {
        switch setting.name {
        case "tls-cert": ["--tls-key", "/k"]
        case "tls-key": ["--tls-cert", "/c"]
        case "ops-client-ca": ["--tls-cert", "/c", "--tls-key", "/k"]
        default: []
        }
    }

    @Test("Certificate and key belong together, and clients' certificates need both")
    func tlsFiles() {
        #expect(problems(["--tls-cert", "/c"]).count == 1)
        #expect(problems(["--tls-key", "/k"]).count == 1)
        #expect(problems(["--ops-client-ca", "/ca"]).count == 1)
        #expect(problems(["--tls-cert", "/c", "--tls-key", "/k", "--ops-client-ca", "/ca"]) == [])
    }

    @Test("Without any, the defaults hold")
    func defaults() throws {
        #expect(try load() == ServeConfiguration())
    }

    @Test(
        "Each can be given as a flag, in the environment and in the file, with the same effect", arguments: Setting.all)
    func everySourceReachesEverySetting(setting: Setting) throws {
        let (text, json) = Self.example(of: setting)
        let arguments = setting.fileForm == .boolean ? ["--\(setting.name)"] : ["--\(setting.name)", text]
        let needed = Self.neededWith(setting)
        let byFlag = try load(arguments + needed)
        #expect(byFlag != (try load(needed.isEmpty ? [] : ["--tls-cert", "/c", "--tls-key", "/k"])))
        #expect(try load(needed, environment: [setting.environmentName: text]) == byFlag)
        #expect(try load(needed, file: "{\"\(setting.name)\": \(json)}") == byFlag)
    }

    @Test("A flag goes before the environment, the environment before the file")
    func precedence() throws {
        let file = #"{"redis-prefix": "file", "node": "file", "loops": 3}"#
        let environment = ["ROOST_REDIS_PREFIX": "environment", "ROOST_NODE": "environment"]
        let configuration = try load(["--redis-prefix", "flag"], environment: environment, file: file)
        #expect(configuration.redisPrefix == "flag")
        #expect(configuration.node == "environment")
        #expect(configuration.loops == 3)
    }

    @Test("A flag can take back what the environment switched on")
    func switchedOff() throws {
        #expect(try load(["--no-enable-echo"], environment: ["ROOST_ENABLE_ECHO": "true"]).enableEcho == false)
    }

    @Test("A list may be repeated, separated by commas, or both")
    func lists() throws {
        let arguments = ["--allowed-origins", "https://a.org,https://b.org", "--allowed-origins", "https://c.org:444"]
        #expect(try load(arguments).allowedOrigins == ["https://a.org", "https://b.org", "https://c.org:444"])
    }

    @Test("An empty environment variable counts as absent")
    func emptyVariable() throws {
        #expect(try load(environment: ["ROOST_REDIS": "", "ROOST_CONFIG": ""]) == ServeConfiguration())
    }

    @Test("A wrong value names the setting, its source and what is accepted")
    func wrongValues() {
        #expect(
            problems(["--max-message-bytes", "5"]) == [
                "max-message-bytes: the value '5' from the flag --max-message-bytes must be an integer from 256 to 262144"
            ])
        #expect(
            problems(environment: ["ROOST_LOG_FORMAT": "xml"]) == [
                "log-format: the value 'xml' from the environment variable ROOST_LOG_FORMAT must be one of text, json"
            ])
        let inFile = problems(file: #"{"heartbeat": "often"}"#)
        #expect(inFile.count == 1)
        #expect(inFile.first?.hasPrefix("heartbeat: the value from the file ") == true)
        #expect(inFile.first?.hasSuffix("must be a number of seconds from 0.1 to 3600") == true)
    }

    @Test(
        "Values outside the range or form are refused",
        arguments: [
            ("listen", "8080"), ("listen", "localhost:70000"), ("listen", ":80"), ("listen", "::1:80"),
            ("ops-listen", "a b:80"), ("node", "-x"), ("node", "a\nb"), ("node", String(repeating: "n", count: 65)),
            ("loops", "0"), ("loops", "many"), ("redis", "localhost:6379"), ("redis", "redis://host:port"),
            ("redis-prefix", "{a}"), ("redis-command-timeout", "5"), ("redis-command-timeout", "nan"),
            ("heartbeat", "inf"), ("heartbeat", "-1"), ("allowed-origins", "https://a.org/path"),
            ("allowed-origins", "*"), ("enable-echo", "yes"), ("log-level", "loud"), ("history-messages", "1e3"),
        ])
    func refused(name: String, text: String) {
        let found = problems(environment: [Setting.named(name).environmentName: text])
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("\(name): ") == true)
        #expect(found.first?.contains("\n") == false)
    }

    @Test("All wrong values are told at once")
    func severalProblems() {
        #expect(problems(["--loops", "0", "--heartbeat", "0"], environment: ["ROOST_NODE": "?"]).count == 3)
    }

    @Test("A wrong value is not hidden by a right one further down")
    func noFallThrough() {
        #expect(problems(["--loops", "x"], environment: ["ROOST_LOOPS": "2"]).count == 1)
    }

    @Test("A password in the Redis URL is not repeated in a message")
    func secretsStaySecret() {
        let found = problems(["--redis", "http://bob:hunter2@localhost"])
        #expect(found.count == 1)
        #expect(found.joined().contains("hunter2") == false)
    }

    @Test("An unknown key in the file is an error that names it")
    func unknownKeys() {
        let found = problems(file: #"{"lissen": "127.0.0.1:80", "loops": 2}"#)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("'lissen' in the file ") == true)
    }

    @Test(
        "A file that is no JSON object of settings is refused",
        arguments: [
            "", "[]", "{", #"{"loops": null}"#, #"{"loops": [1, "a"]}"#, #"{"redis": 5}"#,
            #"{"redis": {"url": "redis://x"}}"#,
        ])
    func badFiles(text: String) {
        #expect(problems(file: text).count == 1)
    }

    @Test("A file that is not there is named")
    func missingFile() {
        #expect(problems(["--config", "/nowhere/roost.json"]) == ["config: there is no file /nowhere/roost.json"])
    }

    @Test("A drain cannot end before it has asked everybody to go")
    func drainTimes() {
        #expect(problems(["--drain-time", "30"]) == ["drain-deadline must not be less than drain-time"])
    }

    @Test(
        "Without authentication only this machine is served, unless the operator insists",
        arguments: [
            ("127.0.0.1:80", true), ("127.8.9.1:80", true), ("[::1]:80", true), ("localhost:80", true),
            ("0.0.0.0:80", false), ("[::]:80", false), ("10.0.0.1:80", false), ("127.0.0.1.example.org:80", false),
            ("chat.example.org:80", false),
        ])
    func openOnlyOnLoopback(address: String, isFine: Bool) throws {
        let secret = ["ROOST_AUTH_SECRET": String(repeating: "s", count: 32)]
        #expect(problems(["--listen", address]).isEmpty == isFine)
        #expect(problems(["--listen", address], environment: secret) == [])
        #expect(problems(["--listen", address, "--insecure-no-auth"]) == [])
        #expect(problems(["--listen", address, "--insecure-no-auth"], environment: secret).count == 1)
    }

    @Test("A secret for tokens is not repeated in a message")
    func shortSecret() {
        let found = problems(environment: ["ROOST_AUTH_SECRET": "hunter2"])
        #expect(found.count == 1)
        #expect(found.joined().contains("hunter2") == false)
    }

    @Test("Wrong values end the command with code 64")
    func exitCode() throws {
        let options = try ServeOptions.parse(["--loops", "0"])
        do {
            _ = try options.configuration(environment: [:])
            Issue.record("0 loops were accepted")
        } catch {
            #expect(ServeOptions.exitCode(for: error).rawValue == 64)
            #expect(ServeOptions.message(for: error).contains("loops"))
        }
    }

    @Test("The help names every setting with its default, range and environment variable", arguments: Setting.all)
    func help(setting: Setting) {
        let help = ServeOptions.helpMessage(columns: 1000)
        #expect(help.contains("--\(setting.name)"))
        #expect(
            help.contains("Must be \(setting.accepted). Default: \(setting.defaultText). [\(setting.environmentName)]"))
    }

    @Test("A node without a name is called after its host and port")
    func nodeName() throws {
        #expect(try load(["--node", "n1"]).nodeName == "n1")
        let made = try load(["--listen", "127.0.0.1:8123"]).nodeName
        #expect(made.hasSuffix("-8123"))
        #expect(try load(["--node", made]).nodeName == made)
    }
}

extension Setting: CustomTestStringConvertible {
    public var testDescription: String { name }
}
