import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// Reads lists of users.
enum RosterReply {
    /// What the enter script answers; nil when the answer is not the script's.
    ///
    /// - Returns: who is there, and why some of those who wanted to enter are not, by their number.
    static func entry(_ reply: Reply) -> (roster: Roster, refusals: [Int: Prohibition])? {
        guard let head = head(reply), case .array(let list)? = head.rest.first, list.count % 2 == 0 else { return nil }
        var refusals: [Int: Prohibition] = [:]
        for index in stride(from: 0, to: list.count, by: 2) {
            guard case .integer(let number) = list[index],
                let why = list[index + 1].bytes.flatMap({ Prohibition(String(buffer: $0), wait: 0) })
            else { return nil }
            refusals[Int(number)] = why
        }
        return (roster(head, names: head.rest.dropFirst()), refusals)
    }

    /// What the members script answers when only so many are wanted.
    static func roster(_ reply: Reply) -> Roster? {
        guard let head = head(reply), head.rest.count <= 2, case .integer(let isWritable)? = head.rest.first else {
            return nil
        }
        var names: [Reply] = []
        if let list = head.rest.dropFirst().first {
            guard case .array(let all) = list else { return nil }
            names = all
        }
        var roster = roster(head, names: names[...])
        roster.isConclusive = isWritable == 1
        return roster
    }

    private static func roster(_ head: Head, names: ArraySlice<Reply>) -> Roster {
        var members = names.compactMap { $0.bytes.flatMap { UserName(String(buffer: $0)) } }
        members.sort()
        return Roster(members: members, count: head.count, hasMore: head.count > members.count, revision: head.revision)
    }

    private struct Head {
        var count: Int
        var revision: UInt64
        var rest: ArraySlice<Reply>
    }

    private static func head(_ reply: Reply) -> Head? {
        guard case .array(let parts) = reply, parts.count > 1, case .integer(let count) = parts[0],
            let revision = parts[1].bytes.flatMap(PublicationCodec.number)
        else { return nil }
        return Head(count: Int(count), revision: revision, rest: parts.dropFirst(2))
    }

    /// A page out of all users of a room, as the members script answers them.
    ///
    /// Keeps only the least names of a page while it walks through them: a room may have very many users, and all this
    /// happens on an event loop.
    static func page(_ reply: Reply, after user: UserName?, limit: Int) -> Roster? {
        guard let head = head(reply), head.rest.count == 2, case .array(let parts)? = head.rest.last else {
            return nil
        }
        let start = user.map { ByteBuffer(string: $0.text) }
        var least: [ByteBuffer] = []
        var found = 0
        for part in parts {
            guard let name = part.bytes else { return nil }
            if let start, !precedes(start, name) { continue }
            found += 1
            if least.count == limit {
                guard let last = least.last, precedes(name, last) else { continue }
                least.removeLast()
            }
            least.insert(name, at: insertionIndex(of: name, in: least))
        }
        let members = least.compactMap { UserName(String(buffer: $0)) }
        return Roster(members: members, count: parts.count, hasMore: found > least.count, revision: head.revision)
    }

    private static func insertionIndex(of name: ByteBuffer, in sorted: [ByteBuffer]) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(sorted[middle], name) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func precedes(_ left: ByteBuffer, _ right: ByteBuffer) -> Bool {
        left.withUnsafeReadableBytes { left in
            right.withUnsafeReadableBytes { right in left.lexicographicallyPrecedes(right) }
        }
    }
}
