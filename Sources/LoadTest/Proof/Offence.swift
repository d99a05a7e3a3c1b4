/// A broken promise, for the report's list of first offenders.
package struct Offence: Sendable, Codable, Equatable {
    package enum Kind: String, Sendable, Codable, CaseIterable {
        case missing, doubled, outOfOrder = "out of order", misplaced, refused, unanswered, presence
    }

    package var kind: Kind
    /// Who should have received, or was refused.
    package var user: String
    package var room: String
    /// Empty where the message has none.
    package var position: String
    /// The node of that user.
    package var node: String
    package var detail: String

    package init(kind: Kind, user: String, room: String, position: String, node: String, detail: String) {
        self.kind = kind
        self.user = user
        self.room = room
        self.position = position
        self.node = node
        self.detail = detail
    }

    /// One line for people.
    package var line: String {
        let place = [room, position, node.isEmpty ? "" : "on \(node)"].filter { !$0.isEmpty }.joined(separator: " ")
        return "\(kind.rawValue): \(user) \(place) (\(detail))"
    }
}
