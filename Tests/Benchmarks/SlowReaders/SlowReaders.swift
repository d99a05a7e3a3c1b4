import Foundation
import LoadTest
import NIOCore
import NIOPosix
import TestSupport

/// What members who read nothing cost those who do, and the gateway: one busy room of one gateway process, measured
/// without them, with them, and without them again.
///
///     swift build -c release --product roost
///     swift run -c release SlowReaders [STALLED] [SECONDS PER PHASE] [MESSAGES PER SECOND]
@main
struct SlowReaders {
    static let readers = 20
    static let room = "busy"

    static func main() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let stalled = numbers.first ?? 1_000
        let seconds = numbers.dropFirst().first ?? 10
        let rate = numbers.dropFirst(2).first ?? 200
        FileDescriptorLimit.raise()
        let folder = try ScratchFolder("slow-readers")
        defer { folder.remove() }
        // Nobody is closed as stalled or silent while the benchmark runs, and the log stays as long as it is.
        let gateway = try await GatewayProcess.start(
            node: "gateway", redis: nil,
            arguments: [
                "--stall-timeout", "3600", "--heartbeat", "3600", "--messages-per-second", "0",
                "--history-messages", "500", "--log-level", "error",
            ],
            folder: folder.url)
        let failure: (any Error)?
        do {
            try await gateway.ready()
            try await Benchmark(gateway: gateway, stalled: stalled, seconds: seconds, rate: rate).run()
            failure = nil
        } catch {
            failure = error
        }
        await gateway.kill()
        if let failure { throw failure }
    }
}

private struct Benchmark {
    let gateway: GatewayProcess
    let stalled: Int
    let seconds: Int
    /// Messages per second.
    let rate: Int

    func run() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let latencies = Latencies()
        for number in 0..<SlowReaders.readers {
            _ = try await Client.join(port: gateway.port, user: "reader-\(number)", on: loop, .reading(latencies))
        }
        let sender = try await Client.join(port: gateway.port, user: "sender", on: loop, .reading(nil))
        say(
            "\(SlowReaders.readers) members who read, \(rate) messages of 1 KiB a second, "
                + "\(seconds) s per phase")

        _ = try await measure(sender, latencies, "(warm-up)")
        let before = try await measure(sender, latencies, "without stalled members")

        let empty = try residentBytes()
        var crowd: [any Channel] = []
        for number in 0..<stalled {
            crowd.append(try await Client.join(port: gateway.port, user: "stalled-\(number)", on: loop, .stalled))
        }
        let joined = try residentBytes()
        // Until what the systems hold for them is full, and the gateway has noticed.
        for _ in 0..<60 where try await slowMembers() < stalled { try await send(for: 1, sender) }
        say("  stalled members that the gateway has noticed: \(try await slowMembers()) of \(stalled)")
        let full = try residentBytes()
        let during = try await measure(sender, latencies, "with \(stalled) stalled members")
        let after = try residentBytes()

        for channel in crowd { try? await channel.close() }
        try await eventually("the stalled have gone", within: .seconds(60)) {
            try await metric("roost_connections") <= SlowReaders.readers + 1 ? true : nil
        }
        // Their users count as present for a while.
        try await Task.sleep(for: .seconds(4))
        let again = try await measure(sender, latencies, "without them again")

        let p50 = (before.p50 + again.p50) / 2
        let p99 = (before.p99 + again.p99) / 2
        say("with stalled members / without: p50 x \(rounded(during.p50 / p50)), p99 x \(rounded(during.p99 / p99))")
        say("memory of the gateway, KiB per stalled member:")
        say("  connected and joined      \(perMember(joined - empty))")
        say("  when it took no more    + \(perMember(full - joined))")
        say("  after \(seconds) s more of it  + \(perMember(after - full))")
    }

    /// Sends for one phase and prints what the readers saw.
    private func measure(
        _ sender: any Channel, _ latencies: Latencies, _ title: String
    ) async throws -> (p50: Double, p99: Double) {
        latencies.take()
        try await send(for: seconds, sender)
        try await Task.sleep(for: .milliseconds(500))
        let taken = latencies.take().sorted()
        let expected = seconds * rate * SlowReaders.readers
        let p50 = Latencies.percentile(0.5, of: taken)
        let p99 = Latencies.percentile(0.99, of: taken)
        say(
            "  p50 \(rounded(p50)) ms  p99 \(rounded(p99)) ms  delivered \(taken.count) of \(expected)  \(title)")
        return (p50, p99)
    }

    private func send(for seconds: Int, _ sender: any Channel) async throws {
        let pause = Duration.nanoseconds(1_000_000_000 / rate)
        let clock = ContinuousClock()
        var next = clock.now
        for _ in 0..<seconds * rate {
            try await clock.sleep(until: next)
            next += pause
            try await sender.writeAndFlush(Client.message(sentAt: .now()))
        }
    }

    private func slowMembers() async throws -> Int { try await metric("roost_slow_members_total") }

    private func metric(_ name: String) async throws -> Int {
        let page = try await gateway.ops("/metrics").body
        let line = page.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        return line.flatMap { Int($0.dropFirst(name.count + 1)) } ?? 0
    }

    /// What the gateway's process has in memory (Linux: proc(5), statm).
    private func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(gateway.pid)/statm", encoding: .utf8)
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }

    /// At once, also where the output is not a terminal.
    private func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    private func perMember(_ bytes: Int) -> String { rounded(Double(bytes) / 1024 / Double(max(1, stalled))) }

    private func rounded(_ value: Double) -> String { String(format: "%.2f", value) }
}
