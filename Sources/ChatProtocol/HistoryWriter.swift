package import NIOCore

/// Builds a `history` event from the log's entries, without looking into them, so that it stays within
/// ``ServerMessage/maximumLength``.
///
/// Entries are added from the end that the client asked from: what does not fit is at the far end, and the client asks
/// again from there.
package struct HistoryWriter {
    package enum Order: Sendable {
        /// After a position.
        case oldestFirst
        /// Before a position, or the latest.
        case newestFirst
    }

    private struct Entry {
        var body: ByteBuffer
        var position: Position
        var time: UInt64
    }

    /// What the event may have besides its messages: names, the longest `id` all escaped, and a WebSocket header.
    private static let overhead = 1024

    private let id: RequestID?
    private let room: RoomName
    private let order: Order
    private var entries: [Entry] = []
    private var bytesLeft: Int
    /// Something was not added because the page was full.
    package private(set) var isCut = false

    package init(
        id: RequestID?, room: RoomName, adding order: Order, maximumLength: Int = ServerMessage.maximumLength
    ) {
        self.id = id
        self.room = room
        self.order = order
        self.bytesLeft = maximumLength - Self.overhead
    }

    /// Adds a stored message if the page still has room. The first is always taken, so that every page brings a client
    /// further.
    ///
    /// - Returns: whether it was added; nothing may be added after a false.
    package mutating func add(_ body: ByteBuffer, position: Position, time: UInt64) -> Bool {
        let length = StoredMessage.length(of: body, position: position, time: time) + 1
        guard !isCut, length <= bytesLeft || entries.isEmpty else {
            isCut = true
            return false
        }
        bytesLeft -= length
        entries.append(Entry(body: body, position: position, time: time))
        return true
    }

    /// Appends the event's JSON.
    ///
    /// - Parameters:
    ///   - hasMore: the log has more in the direction asked for, beyond what was offered to ``add(_:position:time:)``.
    ///   - recovered: nil leaves the field out.
    package func write(hasMore: Bool, recovered: Bool?, into out: inout ByteBuffer) {
        out.beginEvent("history")
        out.writeField("id", string: id?.text)
        out.writeField("room", name: room.text)
        out.writeStaticString(#","messages":["#)
        switch order {
        case .oldestFirst: write(entries, into: &out)
        case .newestFirst: write(entries.reversed(), into: &out)
        }
        out.writeInteger(UInt8(ascii: "]"))
        out.writeField("more", flag: hasMore || isCut)
        out.writeField("recovered", flag: recovered)
        out.endEvent()
    }

    private func write(_ entries: some Sequence<Entry>, into out: inout ByteBuffer) {
        var isFirst = true
        for entry in entries {
            if !isFirst { out.writeInteger(UInt8(ascii: ",")) }
            StoredMessage.write(entry.body, position: entry.position, time: entry.time, into: &out)
            isFirst = false
        }
    }
}
