package import ChatProtocol

/// A room's or an inbox's name in which each `*` stands for any characters, or none: `team-*`, `@bob`, `@*`, `*`.
package struct RoomPattern: Sendable, Equatable {
    package let text: String

    /// - Returns: nil when no name could match: characters that no name has, or too many.
    package init?(_ text: String) {
        let isPattern = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"):
                true
            default: "._:-@*".utf8.contains(byte)
            }
        }
        guard isPattern, (1...129).contains(text.utf8.count) else { return nil }
        self.text = text
    }

    /// Takes time in proportion to both lengths at most: after a star the shortest match is right for what follows.
    package func matches(_ room: RoomName) -> Bool {
        let pattern = Array(text.utf8)
        let name = Array(room.text.utf8)
        var (at, place) = (0, 0)
        // Where to go on when what follows the last star does not fit.
        var star: (at: Int, place: Int)?
        while place < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, place)
                at += 1
            } else if at < pattern.count, pattern[at] == name[place] {
                at += 1
                place += 1
            } else if let last = star {
                star = (last.at, last.place + 1)
                at = last.at + 1
                place = last.place + 1
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
