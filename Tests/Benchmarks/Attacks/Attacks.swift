import ChatGateway
import Foundation
import LoadTest
import TestSupport

/// What a room that behaves notices of attacks on its gateway: how long messages take with each of them, and without it
/// right before and after. The attacker is a process of its own, of low priority, so that what it costs the machine is not
/// taken for what it costs the gateway.
///
///     swift build -c release --product roost
///     swift run -c release Attacks [SECONDS PER PHASE]
@main
struct Attacks {
    private static let secret = "a secret of more than thirty-two bytes"

    static func main() async throws {
        FileDescriptorLimit.raise()
        let arguments = CommandLine.arguments
        if arguments.count == 5, arguments[1] == "attack", let port = Int(arguments[3]) {
            try await Attack(rawValue: arguments[2])?.run(port: port, token: arguments[4])
        } else {
            try await measure(seconds: arguments.dropFirst().first.flatMap { Int($0) } ?? 4)
        }
    }

    private static func measure(seconds: Int) async throws {
        let folder = try ScratchFolder("attacks")
        defer { folder.remove() }
        let redis = try await RedisServer.start()
        let gateway = try await GatewayProcess.start(
            node: "gateway", redis: redis.url, arguments: ["--auth-secret", secret, "--log-level", "error"],
            folder: folder.url)
        let failure: (any Error)?
        do {
            try await gateway.ready()
            try await measure(gateway, seconds: seconds, folder: folder.url)
            failure = nil
        } catch {
            failure = error
        }
        await gateway.kill()
        await redis.stop()
        if let failure { throw failure }
    }

    private static func measure(_ gateway: GatewayProcess, seconds: Int, folder: URL) async throws {
        let signer = TokenSigner(key: try await .secret(Array(secret.utf8), algorithm: .hs256))
        let now = UInt64(Date().timeIntervalSince1970)
        let token: @Sendable (String) throws -> String = { user in
            try signer.sign(TokenSigner.Request(user: user, issuedAt: now, expires: now + 3600))
        }
        let room = try await CalmRoom.open(port: gateway.port, token: token)
        _ = try await room.talk(seconds: seconds)
        say("\(CalmRoom.listeners) listen, \(CalmRoom.rate) messages a second, \(seconds) s a phase; milliseconds")
        say("attack            p50          p99          p99 alone    ratio   delivered")
        var before = try await room.talk(seconds: seconds)
        for attack in Attack.allCases {
            let attacker = try ChildProcess(
                "attacker", executable: "nice",
                arguments: [
                    "-n", "19", URL(filePath: CommandLine.arguments[0]).path, "attack", attack.rawValue,
                    "\(gateway.port)", try token("mallory"),
                ], folder: folder)
            try await Task.sleep(for: .seconds(2))
            let during = try await room.talk(seconds: seconds)
            let isOver = attacker.endingSoFar != nil
            await attacker.killAndWait()
            // Until its users are gone for the others, too.
            try await Task.sleep(for: .seconds(3))
            let after = try await room.talk(seconds: seconds)
            let alone = (before.p99 + after.p99) / 2
            say(
                pad(attack.rawValue, 18) + pad(number(during.p50), 13) + pad(number(during.p99), 13)
                    + pad(number(alone), 13) + pad(number(during.p99 / alone), 8) + number(100 * during.delivered)
                    + " %"
                    + (isOver ? "  the attack had ended by itself" : ""))
            before = after
        }
    }

    private static func number(_ value: Double) -> String { String(format: "%.2f", value) }
    private static func pad(_ text: String, _ width: Int) -> String {
        text.padding(toLength: width, withPad: " ", startingAt: 0)
    }

    /// At once, also where the output is not a terminal.
    private static func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
}
