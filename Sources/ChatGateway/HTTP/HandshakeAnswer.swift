import Crypto
import Foundation
import NIOCore

extension Handshake {
    /// The answer that accepts it (RFC 6455, section 4.2.2), as bytes: frames follow it in the same write.
    var answer: ByteBuffer {
        var answer = ByteBuffer()
        answer.reserveCapacity(256)
        answer.writeString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")
        answer.writeString("Sec-WebSocket-Accept: \(Self.proof(of: key))\r\n")
        if let selectedProtocol { answer.writeString("Sec-WebSocket-Protocol: \(selectedProtocol)\r\n") }
        if let compression { answer.writeString("Sec-WebSocket-Extensions: \(compression.answer)\r\n") }
        answer.writeString("\r\n")
        return answer
    }

    /// Shows that the key was read by somebody who speaks the protocol; no secret depends on the hash.
    private static func proof(of key: String) -> String {
        let digest = Insecure.SHA1.hash(data: Data("\(key)258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8))
        return Data(digest).base64EncodedString()
    }
}
