import Foundation
import NIOCore
import Testing

@testable import ChatGateway

@Suite("The web client's files", .timeLimit(.minutes(1)))
struct WebAssetsTests {
    @Test("every file of the web client is served")
    func complete() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../Sources/ChatGateway/Web").standardized
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { !$0.hasPrefix(".") }
        #expect(Set(files) == Set(WebAssets.all.map(\.name)))
    }

    private func get(_ path: String, fields: String = "", method: String = "GET") async throws -> RawClient.Answer {
        let (answers, tell) = AsyncStream.makeStream(of: RawClient.Answer.self)
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                try await client.send("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
                tell.yield(try await client.answer(hasBody: method != "HEAD"))
            }
        }
        for await answer in answers { return answer }
        throw RawClient.Ended()
    }

    @Test(
        "each has its type and the fields that keep it harmless",
        arguments: [
            ("/", "text/html; charset=utf-8"), ("/index.html", "text/html; charset=utf-8"),
            ("/app.js", "text/javascript; charset=utf-8"), ("/style.css", "text/css; charset=utf-8"),
            ("/icon.svg", "image/svg+xml"),
        ])
    func types(_ path: String, _ type: String) async throws {
        let answer = try await get(path)
        #expect(answer.status == 200)
        #expect(answer.field("Content-Type") == type)
        #expect(answer.field("Content-Security-Policy") == WebAssets.contentSecurityPolicy)
        #expect(!WebAssets.contentSecurityPolicy.contains("unsafe"))
        #expect(answer.field("X-Frame-Options") == "DENY")
        #expect(answer.field("Cross-Origin-Opener-Policy") == "same-origin")
        #expect(answer.field("X-Content-Type-Options") == "nosniff")
        #expect(answer.field("Referrer-Policy") == "no-referrer")
        #expect(answer.field("Cache-Control") == "no-cache")
        #expect(answer.field("Access-Control-Allow-Origin") == nil)
        #expect(!answer.body.isEmpty)
    }

    @Test("the client library may be imported by pages of others")
    func library() async throws {
        #expect(try await get("/roost.js").field("Access-Control-Allow-Origin") == "*")
    }

    @Test("HEAD tells the length and sends no body")
    func head() async throws {
        let answer = try await get("/app.js", method: "HEAD")
        let length = WebAssets.all.first { $0.name == "app.js" }?.bytes.readableBytes
        #expect(answer.status == 200)
        #expect(answer.field("Content-Length") == length.map { "\($0)" })
    }

    @Test("a copy that is still good is not sent again")
    func revalidation() async throws {
        let tag = try #require(try await get("/app.js").field("ETag"))
        for list in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
            let answer = try await get("/app.js", fields: "If-None-Match: \(list)\r\n")
            #expect(answer.status == 304)
            #expect(answer.body.isEmpty)
            #expect(answer.field("ETag") == tag)
        }
        #expect(try await get("/app.js", fields: "If-None-Match: \"other\"\r\n").status == 200)
    }
}
