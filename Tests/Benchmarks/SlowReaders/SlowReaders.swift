import Foundation
import LoadTest
import NIOCore
import NIOPosix
import TestSupport

/// What members who read nothing cost those who do, and the gateway: two gateways with the same busy room, one of them
/// with stalled members besides, measured in turns of half a second in one run.
///
///     swift build -c release
///     swift run -c release SlowReaders [STALLED] [SECONDS] [MESSAGES PER SECOND]
@main
struct SlowReaders {
    static let readers = 50
    static let room = "busy"

    static func main() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let stalled = numbers.first ?? 1_000
        let seconds = numbers.dropFirst().first ?? 30
        let rate = numbers.dropFirst(2).first ?? 400
        FileDescriptorLimit.raise()
        let folder = try ScratchFolder("slow-readers")
        defer { folder.remove() }
        var gateways: [GatewayProcess] = []
        let failure: (any Error)?
        do {
            // Nobody is closed as stalled or silent while the benchmark runs, and the log stays as long as it is.
            for node in ["without", "with"] {
                gateways.append(
                    try await GatewayProcess.start(
                        node: node, redis: nil,
                        arguments: [
                            "--stall-timeout", "3600", "--heartbeat", "3600", "--messages-per-second", "0",
                            "--history-messages", "500", "--log-level", "error",
                        ],
                        folder: folder.url))
            }
            for gateway in gateways { try await gateway.ready() }
            try await Benchmark(stalled: stalled, seconds: seconds, rate: rate).run(gateways[0], gateways[1])
            failure = nil
        } catch {
            failure = error
        }
        for gateway in gateways { await gateway.kill() }
        if let failure { throw failure }
    }
}

/// A gateway, and those who read on it.
private struct Side {
    let gateway: GatewayProcess
    let latencies = Latencies()
    let sender: any Channel
    private let readers: [any Channel]

    init(_ gateway: GatewayProcess, on loop: any EventLoop) async throws {
        self.gateway = gateway
        var readers: [any Channel] = []
        for number in 0..<SlowReaders.readers {
            let user = "reader-\(number)"
            readers.append(try await Client.join(port: gateway.port, user: user, on: loop, .reading(latencies)))
        }
        self.readers = readers
        sender = try await Client.join(port: gateway.port, user: "sender", on: loop, .reading(nil))
    }

    /// Sends so many messages, evenly.
    func send(_ count: Int, rate: Int) async throws {
        let pause = Duration.nanoseconds(1_000_000_000 / rate)
        let clock = ContinuousClock()
        var next = clock.now
        for _ in 0..<count {
            try await clock.sleep(until: next)
            next += pause
            try await sender.writeAndFlush(Client.message(sentAt: .now()))
        }
    }
}

private struct Benchmark {
    let stalled: Int
    let seconds: Int
    /// Messages per second.
    let rate: Int

    func run(_ without: GatewayProcess, _ with: GatewayProcess) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let quiet = try await Side(without, on: loop)
        let crowded = try await Side(with, on: loop)
        say("\(SlowReaders.readers) members who read, \(rate) messages of 1 KiB a second, \(seconds) s on either side")

        let empty = with.residentBytes
        for number in 0..<stalled {
            _ = try await Client.join(port: with.port, user: "stalled-\(number)", on: loop, .stalled)
        }
        let joined = with.residentBytes
        // Until what the systems hold for them is full, and the gateway has noticed.
        for _ in 0..<120 where try await with.metric("roost_slow_members_total") < stalled {
            try await crowded.send(rate, rate: rate)
        }
        let noticed = try await with.metric("roost_slow_members_total")
        say("stalled members that the gateway has noticed: \(noticed) of \(stalled)")
        let full = with.residentBytes
        for side in [quiet, crowded] {
            try await side.send(2 * rate, rate: rate)
            side.latencies.take()
        }

        // In turns, so that whatever else the machine does strikes both alike.
        for turn in 0..<2 * seconds {
            for side in turn % 2 == 0 ? [quiet, crowded] : [crowded, quiet] {
                try await side.send(rate / 2, rate: rate)
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        try await Task.sleep(for: .milliseconds(500))
        let after = with.residentBytes
        let alone = report(quiet, "without stalled members")
        let together = report(crowded, "with \(stalled) stalled members")
        say("ratio: p50 x \(rounded(together.p50 / alone.p50)), p99 x \(rounded(together.p99 / alone.p99))")
        say("memory of the gateway, KiB per stalled member:")
        say("  connected and joined      \(perMember(joined - empty))")
        say("  when it took no more    + \(perMember(full - joined))")
        say("  after the measurement   + \(perMember(after - full))")
    }

    /// Prints what the readers saw.
    private func report(_ side: Side, _ title: String) -> (p50: Double, p99: Double) {
        let taken = side.latencies.take().sorted()
        let expected = seconds * 2 * (rate / 2) * SlowReaders.readers
        let p50 = Latencies.percentile(0.5, of: taken)
        let p99 = Latencies.percentile(0.99, of: taken)
        say("  p50 \(rounded(p50)) ms  p99 \(rounded(p99)) ms  delivered \(taken.count) of \(expected)  \(title)")
        return (p50, p99)
    }

    /// At once, also where the output is not a terminal.
    private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    private func perMember(_ bytes: Int) -> String { rounded(Double(bytes) / 1024 / Double(max(1, stalled))) }

    private func rounded(_ value: Double) -> String { String(format: "%.2f", value) }
}
