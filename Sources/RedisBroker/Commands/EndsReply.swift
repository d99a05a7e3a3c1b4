import ChatHub
import ChatProtocol
import Hiredis

/// What the script that compares the ends of logs answers.
enum EndsReply {
    /// One for each log that was asked for; nil for what the script never answers.
    static func ends(_ reply: Reply, count: Int) -> [LogEnd]? {
        guard case .array(let parts) = reply, parts.count.isMultiple(of: 2) else { return nil }
        var ends = Array(repeating: LogEnd.asExpected, count: count)
        for at in stride(from: 0, to: parts.count, by: 2) {
            guard case .integer(let number) = parts[at], let place = Int(exactly: number), ends.indices.contains(place)
            else { return nil }
            ends[place] = parts[at + 1].position.map { .at($0) } ?? .unknown
        }
        return ends
    }
}
