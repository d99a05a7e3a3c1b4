import ChatProtocol
import Foundation
import NIOCore

/// The JSON of clients, through every entry that bytes from outside reach.
struct JSONTarget: FuzzTarget {
    private let room = RoomName("room")

    func check(_ input: [UInt8]) {
        let frame = ByteBuffer(bytes: input)
        let requestID = ClientMessage.requestID(in: frame)
        _ = ClientMessage.tooLarge(frame, limit: 0)
        _ = StoredMessage.isPlausible(frame)
        if let length = StoredMessage.identityLength(of: frame) { precondition(length <= input.count) }
        if let room { _ = ClientMessage.parsePost(frame, to: room) }
        checkStored(frame)
        // What is not UTF-8 ends a connection before it is parsed: there it only must not trap.
        guard String(validating: input, as: UTF8.self) != nil else {
            _ = ClientMessage.parse(frame)
            _ = try? ServerMessage.parse(frame)
            return
        }
        switch ClientMessage.parse(frame) {
        case .success(let message): check(message, of: input)
        case .failure(let refusal):
            precondition(refusal.code == .invalidJSON || refusal.id == requestID, "another id")
            check(.error(refusal))
        }
        if let message = try? ServerMessage.parse(frame) { check(message) }
        if let json = RawJSON(frame) {
            precondition(SomeoneElse.takes(Array(json.bytes.readableBytesView)), "no other parser takes it")
        }
    }

    private func check(_ message: ClientMessage, of input: [UInt8]) {
        var again = ByteBuffer()
        message.write(into: &again)
        if case .resume(_, _, let refused) = message, !refused.isEmpty { return }
        precondition(ClientMessage.parse(again) == .success(message), "it reads another way when it is written")
        precondition(SomeoneElse.takes(input), "no other parser takes it")
    }

    private func check(_ message: ServerMessage) {
        var json = ByteBuffer()
        message.write(into: &json)
        precondition((try? ServerMessage.parse(json)) == message, "it reads another way when it is written")
    }

    private func checkStored(_ frame: ByteBuffer) {
        guard let (body, position, time) = StoredMessage.read(frame) else { return }
        var again = ByteBuffer()
        StoredMessage.write(body, position: position, time: time, into: &again)
        precondition(again.readableBytes == StoredMessage.length(of: body, position: position, time: time))
    }
}

/// Asks Foundation for a value, without asking for the range of its numbers.
private struct SomeoneElse: Decodable {
    static func takes(_ bytes: [UInt8]) -> Bool {
        (try? JSONDecoder().decode(SomeoneElse.self, from: Data(bytes))) != nil
    }

    init(from decoder: any Decoder) throws {
        _ = try decoder.singleValueContainer()
    }
}
