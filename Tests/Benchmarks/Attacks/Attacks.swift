import ChatGateway
import Foundation
import LoadTest
import TestSupport

/// What a room that behaves notices of attacks on its gateway: how long messages take with each of them, and without it
/// right before and after. The gateway has a processor to itself. The attacker is a process of its own that takes of
/// the other one whatever Redis and the room leave (`SCHED_IDLE`): as much as it can, but never their turn. Linux only.
///
///     swift build -c release --product roost
///     swift run -c release Attacks [SECONDS PER PHASE [ATTACK …]]
@main
struct Attacks {
    private static let secret = "a secret of more than thirty-two bytes"

    static func main() async throws {
        FileDescriptorLimit.raise()
        let arguments = CommandLine.arguments
        if arguments.count == 5, arguments[1] == "attack", let port = Int(arguments[3]) {
            try await Attack(rawValue: arguments[2])?.run(port: port, token: arguments[4])
        } else {
            let named = arguments.dropFirst(2).compactMap(Attack.init)
            try await measure(
                named.isEmpty ? Attack.allCases : named,
                seconds: arguments.dropFirst().first.flatMap { Int($0) } ?? 4)
        }
    }

    private static func measure(_ attacks: [Attack], seconds: Int) async throws {
        let folder = try ScratchFolder("attacks")
        defer { folder.remove() }
        let ownPID = ProcessInfo.processInfo.processIdentifier
        try await Processors.move(ownPID, to: Processors.others, folder: folder.url)
        // Its disk is nobody's part in this.
        var options = RedisServer.Options()
        options.isPersistent = false
        let redis = try await RedisServer.start(options)
        let gateway = try await GatewayProcess.start(
            node: "gateway", redis: redis.url, arguments: ["--auth-secret", secret, "--loops", "1"], folder: folder.url)
        let failure: (any Error)?
        do {
            try await Processors.move(gateway.pid, to: Processors.gateway, folder: folder.url)
            try await gateway.ready()
            try await measure(attacks, on: gateway, seconds: seconds, folder: folder.url)
            failure = nil
        } catch {
            failure = error
        }
        await gateway.kill()
        await redis.stop()
        if let failure { throw failure }
    }

    private static func measure(
        _ attacks: [Attack], on gateway: GatewayProcess, seconds: Int, folder: URL
    ) async throws {
        let signer = TokenSigner(key: try await .secret(Array(secret.utf8), algorithm: .hs256))
        let now = UInt64(Date().timeIntervalSince1970)
        let token: @Sendable (String) throws -> String = { user in
            try signer.sign(TokenSigner.Request(user: user, issuedAt: now, expires: now + 3600))
        }
        let room = try await CalmRoom.open(port: gateway.port, token: token)
        _ = try await room.talk(seconds: seconds)
        say("\(CalmRoom.listeners) listen, \(CalmRoom.rate) messages a second, \(seconds) s a phase; milliseconds")
        say("attack            p50          p99          p50 alone    p99 alone    ratio   delivered")
        var before = try await room.talk(seconds: seconds)
        for attack in attacks {
            let attacker = try ChildProcess(
                "attacker", executable: "chrt",
                arguments: [
                    "--idle", "0", URL(filePath: CommandLine.arguments[0]).path, "attack", attack.rawValue,
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
                    + pad(number((before.p50 + after.p50) / 2), 13) + pad(number(alone), 13)
                    + pad(number(during.p99 / alone), 8) + number(100 * during.delivered) + " %"
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
