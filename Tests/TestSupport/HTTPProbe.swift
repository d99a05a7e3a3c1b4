package import NIOCore

/// An HTTP answer as it came.
package struct HTTPAnswer: Sendable, Equatable {
    package var status: Int
    /// Names in lower case.
    package var headers: [String: String]
    package var body: String
}

package enum HTTPProbe {
    /// One GET on a connection of its own.
    package static func get(
        _ path: String, host: String = "127.0.0.1", port: Int, headers: [String: String] = [:]
    ) async throws -> HTTPAnswer {
        let fields = ["Host": "\(host):\(port)", "Connection": "close"].merging(headers) { $1 }
        return try await send(
            "GET \(path) HTTP/1.1\r\n"
                + fields.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\r\n" }.joined() + "\r\n",
            host: host, port: port)
    }

    /// Any bytes; reads the one answer to them.
    package static func send(_ request: String, host: String = "127.0.0.1", port: Int) async throws -> HTTPAnswer {
        let connection = try await RawConnection.connect(host: host, port: port)
        do {
            try await connection.send(request)
            let answer = try await connection.receive("an HTTP answer") { bytes in try parse(&bytes) }
            await connection.close()
            guard let answer else { throw BrokenAnswer(description: "closed before an HTTP answer came") }
            return answer
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Takes an answer from the front; nil when it is not whole yet. Knows bodies by `Content-Length` and by chunks.
    package static func parse(_ bytes: inout ByteBuffer) throws -> HTTPAnswer? {
        guard let end = bytes.readableBytesView.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let headLength = end.upperBound - bytes.readerIndex
        guard let head = bytes.getString(at: bytes.readerIndex, length: headLength - 4) else { return nil }
        var lines = head.split(separator: "\r\n")[...]
        guard let status = lines.popFirst()?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw BrokenAnswer(description: "no HTTP answer: \(head.prefix(200))")
        }
        var headers: [String: String] = [:]
        for line in lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard let name = parts.first else { continue }
            let value = parts.dropFirst().first.map { $0.drop { $0 == " " } } ?? ""
            headers[name.lowercased()] = String(value)
        }
        var rest = bytes
        rest.moveReaderIndex(forwardBy: headLength)
        let body: String?
        if status < 200 || status == 204 || status == 304 {
            body = ""
        } else if headers["transfer-encoding"] == "chunked" {
            body = try readChunks(&rest)
        } else {
            body = rest.readString(length: headers["content-length"].flatMap { Int($0) } ?? 0)
        }
        guard let body else { return nil }
        bytes = rest
        return HTTPAnswer(status: status, headers: headers, body: body)
    }

    private static func readChunks(_ bytes: inout ByteBuffer) throws -> String? {
        var body = ""
        while true {
            guard let end = bytes.readableBytesView.firstRange(of: Array("\r\n".utf8)),
                let line = bytes.readString(length: end.lowerBound - bytes.readerIndex)
            else { return nil }
            guard let size = Int(line.prefix { $0 != ";" }, radix: 16) else {
                throw BrokenAnswer(description: "no chunk: \(line.prefix(200))")
            }
            bytes.moveReaderIndex(forwardBy: 2)
            guard bytes.readableBytes >= size + 2 else { return nil }
            body += bytes.readString(length: size) ?? ""
            bytes.moveReaderIndex(forwardBy: 2)
            if size == 0 { return body }
        }
    }
}

/// What came is no HTTP answer, or not a whole one.
package struct BrokenAnswer: Error, CustomStringConvertible {
    package let description: String
}
