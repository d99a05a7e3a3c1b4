import ChatClient
import Foundation
import TestSupport

/// How long it takes to find and repair a lost publication once a later message shows the hole, beside what a message
/// takes that nothing happens to: two gateways and a Redis, of which one gateway hears through a proxy that loses what
/// it is told to lose. Both are measured in turns, so that they meet the same machine.
///
///     swift build -c release --product roost
///     swift run -c release RepairDelay [ROUNDS] [MESSAGES LOST PER ROUND]
@main
struct RepairDelay {
    static let room = "general"

    static func main() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        let rounds = numbers.first ?? 1_000
        let lost = numbers.dropFirst().first ?? 1
        let folder = try ScratchFolder("repair-delay")
        defer { folder.remove() }
        let redis = try await RedisServer.start()
        let proxy = try await FaultProxy.start(before: redis.port)
        var gateways: [GatewayProcess] = []
        let failure: (any Error)?
        do {
            for (node, url) in [("sending", redis.url), ("hearing", proxy.url)] {
                gateways.append(
                    try await GatewayProcess.start(
                        node: node, redis: url, arguments: ["--messages-per-second", "0", "--log-level", "error"],
                        folder: folder.url))
            }
            for gateway in gateways { try await gateway.ready() }
            let alice = try await client("alice", of: gateways[0])
            let bob = try await client("bob", of: gateways[1])
            try await Rounds(alice: alice, bob: bob, proxy: proxy, lost: lost).run(rounds)
            failure = nil
        } catch {
            failure = error
        }
        for gateway in gateways { await gateway.kill() }
        try await proxy.stop()
        await redis.stop()
        if let failure { throw failure }
    }

    private static func client(_ user: String, of gateway: GatewayProcess) async throws -> ChatClient {
        let client = try ChatClient(.init(urls: [gateway.url], user: user))
        try await client.connect()
        return client
    }
}

private struct Rounds {
    let alice: ChatClient
    let bob: ChatClient
    let proxy: FaultProxy
    /// Messages whose publications are lost, one after the other, before one that shows it.
    let lost: Int

    private let clock = ContinuousClock()

    init(alice: ChatClient, bob: ChatClient, proxy: FaultProxy, lost: Int) {
        self.alice = alice
        self.bob = bob
        self.proxy = proxy
        self.lost = lost
    }

    func run(_ count: Int) async throws {
        var arrivals = bob.events.makeAsyncIterator()
        try await alice.join(RepairDelay.room)
        try await bob.join(RepairDelay.room)
        var undisturbed: [Double] = []
        var repaired: [Double] = []
        /// Found by a comparison with the log before the next message could show them.
        var foundBefore = 0
        for round in 0..<count + count / 10 {
            let isWarm = round >= count / 10
            let plain = try await time(of: "plain-\(round)", until: "plain-\(round)", &arrivals)
            if isWarm { undisturbed.append(plain) }

            let before = proxy.lost
            proxy.lose(lost, of: "roost:{\(RepairDelay.room)}")
            for number in 0..<lost {
                try await alice.send(text: "lost", to: RepairDelay.room, id: "lost-\(round)-\(number)")
            }
            try await eventually("the publications are lost", every: .milliseconds(1)) {
                proxy.lost == before + lost ? true : nil
            }
            let repair = try await time(of: "shows-\(round)", until: "lost-\(round)-\(lost - 1)", &arrivals)
            if repair < plain / 4 { foundBefore += 1 } else if isWarm { repaired.append(repair) }
        }
        undisturbed.sort()
        repaired.sort()
        print("\(count) rounds, \(lost) lost in each; milliseconds from sending")
        report("a message to its delivery", undisturbed)
        report("the message that shows the hole to the delivery of the last one missing", repaired)
        for (name, share) in [("median", 0.5), ("p99", 0.99)] {
            let ratio = percentile(share, repaired) / percentile(share, undisturbed)
            print(String(format: "  %@: x %.2f", name, ratio))
        }
        print("  found by an audit before: \(foundBefore)")
    }

    /// Milliseconds from sending one message to the arrival of another.
    private func time(
        of sent: String, until awaited: String, _ arrivals: inout ClientEvents.Iterator
    ) async throws -> Double {
        let start = clock.now
        async let ack = alice.send(text: sent, to: RepairDelay.room, id: sent)
        while let event = await arrivals.next() {
            guard case .message(let message) = event, message.id == awaited else { continue }
            break
        }
        let taken = start.duration(to: clock.now)
        _ = try await ack
        return Double(taken.components.attoseconds) / 1e15 + Double(taken.components.seconds) * 1e3
    }

    private func report(_ what: String, _ sorted: [Double]) {
        print(
            String(
                format: "  median %.2f  p99 %.2f  max %.2f  ", percentile(0.5, sorted), percentile(0.99, sorted),
                sorted.last ?? 0) + what)
    }

    private func percentile(_ share: Double, _ sorted: [Double]) -> Double {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
}
