import TestSupport

/// One Redis, to which each gateway goes through a proxy of its own.
final class SingleRedis: Stage.Store {
    let server: RedisServer
    let proxies: [FaultProxy]

    private init(server: RedisServer, proxies: [FaultProxy]) {
        self.server = server
        self.proxies = proxies
    }

    static func start(_ options: RedisServer.Options = .init(), gateways: Int = 3) async throws -> SingleRedis {
        let server = try await RedisServer.start(options)
        var proxies: [FaultProxy] = []
        for _ in 0..<gateways { proxies.append(try await FaultProxy.start(before: server.port)) }
        return SingleRedis(server: server, proxies: proxies)
    }

    func url(for gateway: Int) -> String { proxies[gateway].url }

    func ask(about room: String, _ words: [String]) async throws -> String { try await server.command(words) }

    var output: String { server.output }

    func stop() async {
        for proxy in proxies { try? await proxy.stop() }
        await server.stop()
    }
}
