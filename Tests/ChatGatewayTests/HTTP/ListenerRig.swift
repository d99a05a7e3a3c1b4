import ChatGateway
import Hummingbird
import Logging
import NIOCore
import NIOPosix

/// Decides by a closure.
struct TestDoor: Doorkeeper {
    var decide: @Sendable (SocketRequest) -> Result<any WebSocketSession, HTTPRefusal> = { _ in .success(EchoSession())
    }

    func admit(_ request: SocketRequest, on loop: any EventLoop) -> Result<any WebSocketSession, HTTPRefusal> {
        decide(request)
    }
}

/// A listener on a free port for as long as the closure runs.
func withListener(
    door: TestDoor = TestDoor(), _ configure: (inout GatewayListener.Configuration) -> Void = { _ in },
    routes: (Router<HTTPContext>) -> Void = { _ in },
    _ body: (SocketAddress) async throws -> Void
) async throws {
    var configuration = GatewayListener.Configuration()
    configuration.port = 0
    configuration.isEchoEnabled = true
    configure(&configuration)
    let router = Router(context: HTTPContext.self)
    router.middlewares.add(JSONErrors())
    WebAssets().add(to: router)
    routes(router)
    let listener = GatewayListener(
        configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, doorkeeper: door,
        responder: router.buildResponder(), logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    let address = try await listener.bind()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await listener.run() }
        try await body(address)
        tasks.cancelAll()
    }
}
