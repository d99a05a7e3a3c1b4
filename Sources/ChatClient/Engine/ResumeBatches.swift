import ChatProtocol

/// Spreads the rooms of a client that comes back over as few `resume` frames as they fit.
enum ResumeBatches {
    /// Type, `id` of 64 bytes with every one escaped, and punctuation.
    private static let overhead = 64 + 6 * 64

    /// - Parameter maximumBytes: `max_message_bytes` of the node; a room that does not fit alone goes alone.
    static func split(_ rooms: [Resumption], maximumBytes: Int) -> [[Resumption]] {
        var batches: [[Resumption]] = []
        var used = Int.max
        for room in rooms {
            // "ROOM":"POSITION", and the position of two numbers of up to 20 digits.
            let bytes = room.room.text.utf8.count + room.since.description.utf8.count + 6
            if batches.isEmpty || used + bytes > maximumBytes {
                batches.append([])
                used = overhead
            }
            batches[batches.count - 1].append(room)
            used += bytes
        }
        return batches
    }
}
