import ChatHub
import ChatProtocol
import NIOCore

extension LogSlice {
    /// The `history` event of what was read.
    ///
    /// - Parameter isForward: it was read after a position.
    func page(of room: RoomName, id: RequestID?, isForward: Bool) -> ByteBuffer {
        var page = HistoryWriter(id: id, room: room, adding: isForward ? .oldestFirst : .newestFirst)
        func add(_ entry: LogEntry) -> Bool { page.add(entry.body, position: entry.position, time: entry.time) }
        // What does not fit into one frame is left for the client's next question.
        if isForward {
            _ = entries.allSatisfy(add)
        } else {
            _ = entries.reversed().allSatisfy(add)
        }
        var json = ByteBuffer()
        page.write(hasMore: hasMore, recovered: isForward ? isComplete : nil, into: &json)
        return json
    }
}
