package import ChatProtocol
package import NIOCore
package import NIOHTTP1

/// An HTTP request that is not done, and why. Goes out as `{"error":CODE,"message":TEXT}`, and ends the connection.
package struct HTTPRefusal: Error, Sendable, Equatable {
    package var status: HTTPResponseStatus
    package var code: ErrorCode
    /// For the developer of the client: what is wrong and what to do. Nothing of the request is repeated in it.
    package var message: String
    /// Fields beside those that every refusal has.
    package var headers: HTTPHeaders

    package init(_ status: HTTPResponseStatus, _ code: ErrorCode, _ message: String, headers: HTTPHeaders = [:]) {
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
    }

    /// Who asks did not prove who they are. Says nothing about why a token is wrong.
    static func unauthorized(_ message: String) -> HTTPRefusal {
        HTTPRefusal(.unauthorized, .unauthorized, message, headers: ["WWW-Authenticate": "Bearer"])
    }

    /// The answer's JSON.
    package var body: ByteBuffer {
        Self.body(code: code, message: message)
    }

    /// The answer's head, which ends the connection.
    package var head: HTTPResponseHead {
        var fields: HTTPHeaders = [
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": String(body.readableBytes),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Date": HTTPDate.now(),
            "Connection": "close",
        ]
        fields.add(contentsOf: headers)
        return HTTPResponseHead(version: .http1_1, status: status, headers: fields)
    }

    /// `{"error":CODE,"message":TEXT}`.
    package static func body(code: ErrorCode, message: String) -> ByteBuffer {
        var out = ByteBuffer()
        out.writeString("{\"error\":\"\(code.rawValue)\",\"message\":\"")
        for scalar in message.unicodeScalars {
            switch scalar {
            case "\"": out.writeString("\\\"")
            case "\\": out.writeString("\\\\")
            case "\u{0}"..."\u{1F}", "\u{7F}":
                let digits = String(scalar.value, radix: 16)
                out.writeString("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
            default: out.writeString(String(scalar))
            }
        }
        out.writeString("\"}")
        return out
    }
}
