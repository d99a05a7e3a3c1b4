import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

/// One ordinary request, and the way for its answer.
struct HTTPExchange: Sendable {
    let head: HTTPRequestHead
    let body: ByteBuffer
    let peerAddress: String
    let channel: any Channel
    let connection: NIOLoopBound<UpgradeSwitch>
    /// Ends when the connection does, or the exchange is over.
    let lost: AsyncStream<Never>

    /// The request as routes take it; nil for header fields that these cannot hold.
    var request: Request? {
        guard let method = HTTPRequest.Method(head.method.rawValue) else { return nil }
        var fields = HTTPFields()
        for (name, value) in head.headers where name.lowercased() != "host" {
            guard let name = HTTPField.Name(name) else { return nil }
            fields.append(HTTPField(name: name, value: value))
        }
        let request = HTTPRequest(
            method: method, scheme: "http", authority: head.headers["Host"].first, path: head.uri,
            headerFields: fields)
        return Request(head: request, body: RequestBody(buffer: body))
    }

    /// Sends an answer as its body is produced. Until ``finish(mayGoOn:)`` the client's next request waits.
    ///
    /// - Parameter isLast: the connection ends after it whatever the client wishes.
    /// - Returns: whether the client may send another request.
    func send(_ response: Response, isLast: Bool) async -> Bool {
        let hasLength = response.headers.contains(.contentLength)
        let endsConnection = isLast || response.headers[.connection]?.lowercased() == "close"
        let mayGoOn = !endsConnection && head.isKeepAlive && (hasLength || head.isHTTP11)
        do {
            try await write(.head(responseHead(response, mayGoOn: mayGoOn)))
            if head.method == .HEAD {
                try await write(.end(nil))
            } else {
                try await response.body.write(ExchangeBodyWriter(exchange: self))
            }
            return mayGoOn
        } catch {
            // What was said cannot be taken back: the missing end tells the client.
            channel.close(promise: nil)
            return false
        }
    }

    private func responseHead(_ response: Response, mayGoOn: Bool) -> HTTPResponseHead {
        var fields = HTTPHeaders(response.headers.map { ($0.name.rawName, $0.value) })
        fields.replaceOrAdd(name: "Date", value: HTTPDate.now())
        if !mayGoOn || head.headers.contains(name: "Upgrade") {
            fields.replaceOrAdd(name: "Connection", value: "close")
        } else if !head.isHTTP11 {
            fields.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        let status = HTTPResponseStatus(
            statusCode: response.status.code, reasonPhrase: response.status.reasonPhrase)
        return HTTPResponseHead(version: head.version, status: status, headers: fields)
    }

    fileprivate func write(_ part: HTTPServerResponsePart) async throws {
        let written = channel.eventLoop.makePromise(of: Void.self)
        channel.eventLoop.execute { connection.value.write(part, promise: written) }
        try await written.futureResult.get()
    }

    /// The client's end of input is the end of the exchange.
    func lasts() {
        channel.eventLoop.execute { connection.value.requestLasts() }
    }

    /// The exchange is over: the connection goes on or ends.
    func finish(mayGoOn: Bool) {
        channel.eventLoop.execute { connection.value.answered(mayGoOn: mayGoOn) }
    }
}

/// Writes an answer's body piece by piece, each when the one before has been taken.
private struct ExchangeBodyWriter: ResponseBodyWriter {
    let exchange: HTTPExchange

    mutating func write(_ buffer: ByteBuffer) async throws {
        try await exchange.write(.body(.byteBuffer(buffer)))
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
        let trailers = trailingHeaders.map { HTTPHeaders($0.map { ($0.name.rawName, $0.value) }) }
        try await exchange.write(.end(trailers))
    }
}
