package import Foundation

/// Redis, gateways and HAProxy, all of a test's own, as they are deployed.
package final class Cluster: Sendable {
    package let nodes: [GatewayProcess]
    package let redis: RedisServer
    package let balancer: HAProxy
    /// For whatever else a test starts.
    package let folder: URL

    private init(nodes: [GatewayProcess], redis: RedisServer, balancer: HAProxy, folder: URL) {
        self.nodes = nodes
        self.redis = redis
        self.balancer = balancer
        self.folder = folder
    }

    package var balancerURL: String { balancer.url }

    /// Starts a cluster, does `work` with it, and ends all of it. When `work` throws, what the processes wrote is
    /// printed.
    ///
    /// - Parameter arguments: More flags for each `roost serve`.
    package static func run(
        nodes count: Int = 3, arguments: [String] = [], _ work: (Cluster) async throws -> Void
    ) async throws {
        let folder = try ScratchFolder("cluster")
        defer { folder.remove() }
        let redis = try await RedisServer.start()
        var gateways: [GatewayProcess] = []
        var balancer: HAProxy?
        do {
            for number in 1...count {
                gateways.append(
                    try await GatewayProcess.start(
                        node: "gateway-\(number)", redis: redis.url,
                        arguments: ["--drain-time", "1", "--drain-deadline", "4"] + arguments, folder: folder.url))
            }
            for gateway in gateways { try await gateway.ready() }
            let started = try await HAProxy.start(before: gateways, folder: folder.url)
            balancer = started
            try await work(Cluster(nodes: gateways, redis: redis, balancer: started, folder: folder.url))
            await stop(gateways, balancer, redis)
        } catch {
            for gateway in gateways { print("---- \(gateway.node)\n\(gateway.output)") }
            if let balancer { print("---- haproxy\n\(balancer.output)") }
            print("---- redis-server\n\(redis.output)")
            await stop(gateways, balancer, redis)
            throw error
        }
    }

    private static func stop(_ gateways: [GatewayProcess], _ balancer: HAProxy?, _ redis: RedisServer) async {
        await balancer?.stop()
        for gateway in gateways { await gateway.kill() }
        await redis.stop()
    }
}
