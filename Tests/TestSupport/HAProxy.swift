package import Foundation

/// HAProxy with the configuration that is deployed, in front of a test's gateways.
package final class HAProxy: Sendable {
    package let port: Int
    private let process: ChildProcess

    private init(port: Int, process: ChildProcess) {
        self.port = port
        self.process = process
    }

    /// Starts it and waits until it passes requests to a gateway that is ready.
    package static func start(before gateways: [GatewayProcess], folder: URL) async throws -> HAProxy {
        var environment: [String: String] = [:]
        for (number, gateway) in zip(1..., gateways) {
            environment["GATEWAY_\(number)"] = "127.0.0.1:\(gateway.port)"
            environment["GATEWAY_\(number)_OPS"] = "\(gateway.opsPort)"
        }
        var attempts = 1
        while true {
            let port = try FreePort.find()
            environment["BALANCER_LISTEN"] = "127.0.0.1:\(port)"
            let process = try ChildProcess(
                "haproxy", executable: "haproxy",
                arguments: ["-db", "-f", Checkout.url.appending(path: "deploy/haproxy.cfg").path()],
                environment: environment, folder: folder)
            do {
                try await eventually("HAProxy passes requests on") { () -> Bool? in
                    if let ending = process.endingSoFar {
                        throw Impatience(description: "HAProxy ended with \(ending):\n\(process.output)")
                    }
                    return try await HTTPProbe.get("/", port: port).status == 200 ? true : nil
                }
                return HAProxy(port: port, process: process)
            } catch {
                await process.killAndWait()
                guard attempts < 3, process.output.contains("cannot bind") else { throw error }
                attempts += 1
            }
        }
    }

    package var url: String { "ws://127.0.0.1:\(port)/ws" }
    package var output: String { process.output }

    package func stop() async { await process.killAndWait() }
}
