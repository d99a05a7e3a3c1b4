import Foundation
import NIOCore
import NIOSSL
import TestSupport
import Testing

extension ClusterTests {
    @Suite("TLS")
    struct TLSTests {
        /// A client's side of TLS, which trusts one certificate and nothing else.
        private func trusting(
            _ certificate: String, _ change: (inout TLSConfiguration) -> Void = { _ in }
        ) throws -> @Sendable (any Channel) throws -> Void {
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(certificate))
            change(&configuration)
            let context = try NIOSSLContext(configuration: configuration)
            return { channel in
                try channel.pipeline.syncOperations.addHandler(
                    NIOSSLClientHandler(context: context, serverHostname: "localhost"))
            }
        }

        private func withGateway(
            _ arguments: [String] = [], work: (GatewayProcess, TestCertificate, URL) async throws -> Void
        ) async throws {
            let folder = try ScratchFolder("tls")
            defer { folder.remove() }
            let files = try await TestCertificate.make(in: folder.url)
            try await GatewayProcess.run(
                ["--tls-cert", files.certificate, "--tls-key", files.key] + arguments
            ) { try await work($0, files, folder.url) }
        }

        private func member(
            _ user: String, of room: String, _ gateway: GatewayProcess,
            _ prepare: @escaping @Sendable (any Channel) throws -> Void
        ) async throws -> RawWebSocket {
            let socket = try await RawWebSocket.open(port: gateway.port, query: "user=\(user)", prepare: prepare)
            try await socket.send(.text(#"{"type":"join","id":"j","room":"\#(room)"}"#))
            try await heard(#""type":"joined","id":"j""#, by: socket)
            return socket
        }

        /// Reads until a text has these words in it.
        private func heard(_ words: String, by socket: RawWebSocket) async throws {
            while true {
                switch try await socket.next() {
                case .text(let text): if text.contains(words) { return }
                case .compressedText, .ping, .pong: break
                case .close, .end: throw Impatience(description: "the connection ended before \(words)")
                }
            }
        }

        /// The status of an ordinary request; nil when no connection came to stand.
        private func status(
            _ path: String, port: Int, _ prepare: @escaping @Sendable (any Channel) throws -> Void
        ) async throws -> Int? {
            let connection = try await RawConnection.connect(host: "127.0.0.1", port: port, prepare: prepare)
            do {
                try await connection.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                let answer = try await connection.receive("an answer") { try HTTPProbe.parse(&$0) }
                await connection.close()
                return answer?.status
            } catch let impatience as Impatience {
                await connection.close()
                throw impatience
            } catch {
                await connection.close()
                return nil
            }
        }

        @Test("Sockets and pages are served over TLS, and what one posts reaches all, whole and in order")
        func fanOut() async throws {
            try await withGateway { gateway, files, _ in
                let tls = try trusting(files.certificate)
                let alice = try await member("alice", of: "general", gateway, tls)
                var others: [RawWebSocket] = []
                for number in 1...5 { others.append(try await member("u\(number)", of: "general", gateway, tls)) }
                // More than one record of TLS holds.
                let text = String(repeating: "x", count: 12_000)
                for number in 1...10 {
                    try await alice.send(
                        .text(#"{"type":"message","id":"\#(number)","room":"general","text":"\#(number) \#(text)"}"#))
                }
                for other in others {
                    for number in 1...10 {
                        try await heard(#""id":"\#(number)","text":"\#(number) \#(text)""#, by: other)
                    }
                }
                #expect(try await status("/", port: gateway.port, tls) == 200)
                // The end is orderly: a Close frame before TLS says its own goodbye.
                try await alice.send(.close(1000))
                while true {
                    let last = try await alice.next()
                    if last == .close(1000) { break }
                    guard case .text = last else { throw Impatience(description: "no Close frame but \(last)") }
                }
                #expect(try await alice.next() == .end)
                for other in others { await other.cut() }
            }
        }

        @Test("Who speaks no TLS, an old one, or trusts another certificate gets nothing")
        func refusals() async throws {
            try await withGateway { gateway, files, folder in
                let plain = try? await HTTPProbe.get("/", port: gateway.port)
                #expect(plain == nil)
                let old = try trusting(files.certificate) { $0.maximumTLSVersion = .tlsv11 }
                #expect(try await status("/", port: gateway.port, old) == nil)
                let oldest = try trusting(files.certificate) {
                    $0.minimumTLSVersion = .tlsv12
                    $0.maximumTLSVersion = .tlsv12
                }
                #expect(try await status("/", port: gateway.port, oldest) == 200)
                let elsewhere = folder.appending(path: "elsewhere")
                try FileManager.default.createDirectory(at: elsewhere, withIntermediateDirectories: true)
                let other = try trusting(try await TestCertificate.make(in: elsewhere).certificate)
                #expect(try await status("/", port: gateway.port, other) == nil)
            }
        }

        @Test("A new certificate serves new connections; those that stand go on; a broken one changes nothing")
        func reload() async throws {
            try await withGateway { gateway, files, folder in
                let before = try trusting(files.certificate)
                let alice = try await member("alice", of: "general", gateway, before)
                let next = folder.appending(path: "next")
                try FileManager.default.createDirectory(at: next, withIntermediateDirectories: true)
                let fresh = try await TestCertificate.make(in: next)
                // One after the other: in between they do not fit.
                for (new, old) in [(fresh.key, files.key), (fresh.certificate, files.certificate)] {
                    try Data(contentsOf: URL(filePath: new)).write(to: URL(filePath: old), options: .atomic)
                }
                let after = try trusting(fresh.certificate)
                try await eventually("the new certificate is used") {
                    try await status("/", port: gateway.port, after) == 200 ? true : nil
                }
                try Data("broken".utf8).write(to: URL(filePath: files.certificate), options: .atomic)
                try await eventually("it is said that the certificate is broken") {
                    gateway.output.contains("The certificate stays as it was") ? true : nil
                }
                let bob = try await member("bob", of: "general", gateway, after)
                try await alice.send(.text(#"{"type":"message","id":"1","room":"general","text":"still here"}"#))
                try await heard("still here", by: bob)
                await alice.cut()
                await bob.cut()
            }
        }

        @Test("The operations port can ask for a client's certificate")
        func clientCertificates() async throws {
            let folder = try ScratchFolder("clients")
            defer { folder.remove() }
            let client = try await TestCertificate.make(in: folder.url)
            let certificates = try NIOSSLCertificate.fromPEMFile(client.certificate)
            let key = try NIOSSLPrivateKey(file: client.key, format: .pem)
            // The gateway's start cannot be seen on this port without a certificate, so it is awaited on the other.
            let files = try await TestCertificate.make(in: folder.url.appending(path: "server", making: true))
            let ports = (public: try FreePort.find(), ops: try FreePort.find())
            let gateway = try GatewayProcess.command(
                [
                    "serve", "--listen", "127.0.0.1:\(ports.public)", "--ops-listen", "127.0.0.1:\(ports.ops)",
                    "--tls-cert", files.certificate, "--tls-key", files.key, "--ops-client-ca", client.certificate,
                ], folder: folder.url)
            let known = try trusting(files.certificate) {
                $0.certificateChain = certificates.map { .certificate($0) }
                $0.privateKey = .privateKey(key)
            }
            let unknown = try trusting(files.certificate)
            do {
                try await eventually("the operations port answers") {
                    try await status("/healthz", port: ports.ops, known) == 200 ? true : nil
                }
                #expect(try await status("/healthz", port: ports.ops, unknown) == nil)
                #expect(try await status("/", port: ports.public, unknown) == 200)
                await gateway.killAndWait()
            } catch {
                print(gateway.output)
                await gateway.killAndWait()
                throw error
            }
        }
    }
}

extension URL {
    fileprivate func appending(path: String, making: Bool) throws -> URL {
        let folder = appending(path: path)
        if making { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        return folder
    }
}
