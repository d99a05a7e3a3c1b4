import ChatProtocol
import Foundation
import Synchronization
import TestSupport
import Testing

/// What the faults happen to: a store, gateways that use it, perhaps a balancer. Shared by the rows of a suite, each of
/// which leaves it whole.
final class Stage: Sendable {
    /// Redis in whatever form.
    protocol Store: Sendable {
        /// For the `--redis` of the gateway with this number, from 0.
        func url(for gateway: Int) -> String
        /// Runs a command where a room's log is; as redis-cli prints the answer.
        func ask(about room: String, _ words: [String]) async throws -> String
        /// How many connections listen to a room.
        func listeners(of room: String) async throws -> Int
        func stop() async
        var output: String { get }
    }

    /// The stage of the suite that runs.
    @TaskLocal static var current: Stage?

    let store: any Store
    let gateways: [GatewayProcess]
    let balancer: HAProxy?
    let folder: ScratchFolder
    private let numbers = Atomic(0)

    private init(store: any Store, gateways: [GatewayProcess], balancer: HAProxy?, folder: ScratchFolder) {
        self.store = store
        self.gateways = gateways
        self.balancer = balancer
        self.folder = folder
    }

    /// Flags of every gateway: short times, so that rows need not last for minutes.
    static let arguments = [
        "--messages-per-second", "0", "--retries-per-second", "0", "--heartbeat", "5", "--drain-time", "1",
        "--drain-deadline", "4",
    ]

    static func start(
        _ store: any Store, gateways count: Int = 3, isBalanced: Bool = false, arguments: [String] = []
    ) async throws -> Stage {
        let folder = try ScratchFolder("faults")
        var gateways: [GatewayProcess] = []
        do {
            for number in 0..<count {
                gateways.append(
                    try await GatewayProcess.start(
                        node: "gateway-\(number + 1)", redis: store.url(for: number),
                        arguments: Self.arguments + arguments, folder: folder.url))
            }
            for gateway in gateways { try await gateway.ready() }
            let balancer = isBalanced ? try await HAProxy.start(before: gateways, folder: folder.url) : nil
            return Stage(store: store, gateways: gateways, balancer: balancer, folder: folder)
        } catch {
            for gateway in gateways {
                print("---- \(gateway.node)\n\(gateway.output)")
                await gateway.kill()
            }
            print("---- store\n\(store.output)")
            await store.stop()
            folder.remove()
            throw error
        }
    }

    func stop() async {
        await balancer?.stop()
        for gateway in gateways { await gateway.kill() }
        await store.stop()
        folder.remove()
    }

    /// Whatever a row did: gateways run and are ready.
    func makeWhole() async throws {
        for gateway in gateways where gateway.ending != nil { try await gateway.restart() }
        for gateway in gateways { try await gateway.ready(within: .seconds(30)) }
    }

    func nextNumber() -> Int { numbers.add(1, ordering: .relaxed).newValue }

    /// A room's log, straight from Redis.
    func log(of room: String) async throws -> [Stored] {
        let text = try await store.ask(about: room, ["--json", "XRANGE", "roost:{\(room)}:log", "-", "+"])
        let entries = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[Any]] ?? []
        return try entries.map { entry in
            guard let id = entry.first as? String, let position = Position(id), let fields = entry.last as? [String],
                let name = fields.firstIndex(of: "m"), name + 1 < fields.count
            else { throw Impatience(description: "not an entry of a log: \(entry)") }
            let body = try JSONSerialization.jsonObject(with: Data(fields[name + 1].utf8)) as? [String: Any] ?? [:]
            return Stored(
                position: position, user: body["user"] as? String ?? "", id: body["id"] as? String ?? "",
                text: body["text"] as? String ?? "")
        }
    }

    /// A metric, over all gateways.
    func total(_ metric: String) async throws -> Int {
        var total = 0
        for gateway in gateways { total += try await gateway.metric(metric) }
        return total
    }

    /// What the processes wrote, for a row that failed.
    func printOutput() {
        for gateway in gateways { print("---- \(gateway.node)\n\(gateway.output.suffix(6_000))") }
        print("---- store\n\(store.output.suffix(6_000))")
        if let balancer { print("---- haproxy\n\(balancer.output.suffix(3_000))") }
    }
}

extension Stage.Store {
    func listeners(of room: String) async throws -> Int {
        let answer = try await ask(about: room, ["PUBSUB", "NUMSUB", "roost:{\(room)}"])
        return answer.split(separator: "\n").last.flatMap { Int($0) } ?? 0
    }
}

/// Starts the stage of a suite, once for all of its rows, and ends it after them.
struct OnStage: SuiteTrait, TestScoping {
    typealias Work = (Stage) async throws -> Void

    let around: @Sendable (Work) async throws -> Void

    var isRecursive: Bool { false }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await around { stage in
            do {
                try await Stage.$current.withValue(stage) { try await function() }
            } catch {
                await stage.stop()
                throw error
            }
            await stage.stop()
        }
    }
}

extension Trait where Self == OnStage {
    /// - Parameter around: Makes a stage, does with it what it is given, and cleans up what the stage does not end
    ///   itself.
    static func stage(_ around: @escaping @Sendable (OnStage.Work) async throws -> Void) -> OnStage {
        OnStage(around: around)
    }
}
