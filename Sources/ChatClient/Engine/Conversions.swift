import ChatProtocol

/// From the words on the wire to those of the public interface.
extension ChatMessage {
    init(_ message: Message) {
        self.init(
            room: message.room.text, position: message.position, time: message.time, user: message.user.text,
            id: message.id?.text, to: message.to?.text, text: message.text, data: message.data.map(JSONValue.init))
    }
}

extension JoinedRoom {
    init(_ joined: Joined) {
        self.init(
            room: joined.room.text, position: joined.position, recovered: joined.recovered,
            members: joined.members?.map(\.text) ?? [], count: joined.count ?? 0)
    }
}

extension Acknowledgement {
    init(_ ack: Ack) {
        self.init(
            id: ack.id.text, room: ack.room.text, position: ack.position, time: ack.time, isDuplicate: ack.isDuplicate)
    }
}

extension MemberPage {
    init(_ page: MembersPage) {
        self.init(members: page.members.map(\.text), count: page.count, hasMore: page.hasMore)
    }
}

extension MessagePage {
    init(_ page: HistoryPage) {
        self.init(
            messages: page.messages.map(ChatMessage.init), hasMore: page.hasMore, isComplete: page.recovered ?? true)
    }
}

extension ChatClientError {
    init(_ refusal: Refusal) {
        self.init(
            code: .server, message: refusal.message, serverCode: refusal.code.rawValue,
            retryAfter: refusal.retryAfter.map { .milliseconds(min(max($0, 0), 3_600_000)) })
    }
}
