import ArgumentParser
import ChatGateway
import Foundation
import LoadTest

/// `roost load`: many clients on many nodes, and proof of what they received.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Load a cluster, and prove what was delivered.",
        discussion: """
            Every client joins one room and takes its turn in sending, at a pace that waits for nobody; latencies \
            count from the moment at which a message was due. Every receiver checks every message. Exits with 1 when \
            anything was missing, doubled, out of order or refused, with 2 when the clients could not connect, with 64 when a \
            flag is wrong. With ROOST_AUTH_SECRET in the environment the clients have tokens signed with it.
            """)

    @Option(
        help: "A node or load balancer, ws://HOST:PORT/ws; may be repeated. The members of a room are spread over all.")
    var url: [String]

    @Option(help: "How many clients.")
    var clients = 100

    @Option(help: "How many rooms; each client is in one. By default 10, or as many as there are clients.")
    var rooms: Int?

    @Option(help: "Messages a second, all clients together.")
    var rate = 100.0

    @Option(help: "For how many seconds to send.")
    var duration = 10.0

    @Option(help: "Bytes of a message's text.")
    var payload = 128

    @Option(help: "Over how many seconds to connect; by default 500 clients a second.")
    var ramp: Double?

    @Option(help: "Threads of the generator; a room's members are on one.")
    var threads = 1

    @Option(help: "How many seconds without anything new to wait for what is missing.")
    var patience = 10.0

    @Option(help: ArgumentHelp("Write the report to a file, too.", valueName: "file"))
    var json: String?

    func validate() throws {
        _ = try plan(token: nil)
    }

    /// Each client needs a token of its own, where the secret for that is known.
    private func tokens() async throws -> (@Sendable (_ user: String) -> String)? {
        guard ProcessInfo.processInfo.environment["ROOST_AUTH_SECRET"]?.isEmpty == false else { return nil }
        let signer = try await TokenKeyOptions.parse([]).signer()
        let now = UInt64(Date().timeIntervalSince1970)
        let expires = now + UInt64(duration + (ramp ?? Double(clients) / 500) + patience) + 600
        return { user in
            // A secret always signs.
            (try? signer.sign(TokenSigner.Request(user: user, issuedAt: now, expires: expires))) ?? ""
        }
    }

    private func plan(token: (@Sendable (_ user: String) -> String)?) throws -> LoadPlan {
        guard patience.isFinite, (0.1...3600).contains(patience) else {
            throw ValidationError("--patience: \(patience) is not within 0.1 to 3600")
        }
        // Before they become durations, which trap on what no number of seconds is.
        guard duration.isFinite, (0.1...86_400).contains(duration) else {
            throw ValidationError("--duration: \(duration) is not within 0.1 to 86400")
        }
        guard ramp.map({ $0.isFinite && (0...3600).contains($0) }) ?? true else {
            throw ValidationError("--ramp: \(ramp ?? 0) is not within 0 to 3600")
        }
        do {
            return try LoadPlan(
                urls: url, clients: clients, rooms: rooms ?? min(10, clients), rate: rate, duration: .seconds(duration),
                payload: payload,
                ramp: ramp.map { .seconds($0) }, threads: threads, patience: .seconds(patience),
                token: token)
        } catch let error as InvalidPlan {
            throw ValidationError("\(error)")
        }
    }

    func run() async throws {
        let isTerminal = OutputLines.isTerminal
        let report: LoadReport
        do {
            report = try await LoadRun(plan(token: tokens())).run { progress in
                // On a terminal one line that changes, elsewhere one line after the other.
                if isTerminal {
                    OutputLines.write("\r\u{1B}[2K\(progress.line)", terminator: "")
                } else {
                    OutputLines.write(progress.line)
                }
            }
        } catch let error as InvalidPlan {
            throw ValidationError("\(error)")
        } catch let error as LoadRunError {
            if isTerminal { OutputLines.write("") }
            OutputLines.write("error: \(error)")
            throw ExitCode(2)
        }
        if isTerminal { OutputLines.write("\r\u{1B}[2K", terminator: "") }
        OutputLines.write(report.table)
        if let json {
            do {
                try Data(report.json().utf8).write(to: URL(filePath: json))
            } catch {
                OutputLines.write("error: cannot write \(json): \(error)")
                throw ExitCode(2)
            }
        }
        if !report.isClean { throw ExitCode.failure }
    }
}
