import ChatProtocol
import NIOCore
import NIOHTTP1
import Testing

@testable import ChatGateway

@Suite("What a refusal looks like")
struct HTTPRefusalTests {
    @Test("code and text as JSON, with whatever a text may hold")
    func body() {
        let refusal = HTTPRefusal(.badRequest, .badRequest, "a \"quote\", a \\, a line\nand é")
        #expect(
            String(buffer: refusal.body)
                == #"{"error":"bad_request","message":"a \"quote\", a \\, a line\u000aand é"}"#)
    }

    @Test("it ends the connection and tells its length")
    func head() {
        let refusal = HTTPRefusal(.tooManyRequests, .tooManyConnections, "x", headers: ["Retry-After": "3"])
        #expect(refusal.head.headers["Connection"] == ["close"])
        #expect(refusal.head.headers["Content-Length"] == ["\(refusal.body.readableBytes)"])
        #expect(refusal.head.headers["Retry-After"] == ["3"])
    }

    @Test(
        "dates are those of HTTP",
        arguments: [(0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT")])
    func dates(_ seconds: Int, _ text: String) {
        #expect(HTTPDate.text(of: seconds) == text)
    }
}
