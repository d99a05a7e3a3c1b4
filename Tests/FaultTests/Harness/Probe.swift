import Foundation
import NIOCore
import TestSupport

extension Guest {
    /// Posts a message, again with `retry` while the gateway asks for it; where it is stored.
    func store(_ text: String, in room: String, id: String) async throws -> String {
        try await post(text, to: room, id: id)
        while true {
            let answer = try await event("an answer to \(id)") {
                $0.id == id && ($0.type == "ack" || $0.type == "error")
            }
            if answer.type == "ack" { return answer.position ?? "" }
            guard answer.code == "unavailable" else {
                throw Impatience(description: "\(id) was refused: \(answer.code ?? "?")")
            }
            try await pause(.milliseconds(200))
            try await send(#"{"type":"message","id":"\#(id)","room":"\#(room)","text":"\#(text)","retry":true}"#)
        }
    }
}
