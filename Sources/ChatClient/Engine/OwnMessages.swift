import ChatProtocol

/// The ids of the latest messages that this client sent. With `echo=false` they do not come back while the client is
/// connected, but a replay holds them.
struct OwnMessages {
    private let capacity: Int
    private var ring: [RequestID] = []
    private var oldest = 0
    private var ids: Set<RequestID> = []

    init(capacity: Int) {
        self.capacity = max(capacity, 1)
    }

    mutating func insert(_ id: RequestID) {
        guard ids.insert(id).inserted else { return }
        if ring.count < capacity {
            ring.append(id)
        } else {
            ids.remove(ring[oldest])
            ring[oldest] = id
            oldest = (oldest + 1) % capacity
        }
    }

    func contains(_ id: RequestID) -> Bool { ids.contains(id) }
}
