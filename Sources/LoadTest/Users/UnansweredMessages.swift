/// What one user of a load test has sent, or is to send, and is not answered yet, in the order in which it was due.
///
/// One session's messages stand in the order sent. So while one waits to be sent again, later ones wait behind it.
struct UnansweredMessages {
    struct Sending: Equatable {
        var marker: Marker
        /// It was sent before, and may be stored.
        var isRetry: Bool
    }

    private struct Entry {
        var marker: Marker
        var wasSent = false
        /// The connection that stands carries it.
        var isOut = false
    }

    private var entries: [Entry] = []
    /// The node could not store a message; until ``goOn()`` nothing is sent.
    private(set) var isHeldBack = false

    var isEmpty: Bool { entries.isEmpty }

    /// A message is due, later than all before it.
    mutating func add(_ marker: Marker) {
        entries.append(Entry(marker: marker))
    }

    func marker(_ number: Int, in room: Int) -> Marker? {
        index(number, room).map { entries[$0].marker }
    }

    /// The next one to send now; counts as sent from now on.
    mutating func next() -> Sending? {
        guard !isHeldBack, let index = entries.firstIndex(where: { !$0.isOut }) else { return nil }
        defer {
            entries[index].wasSent = true
            entries[index].isOut = true
        }
        return Sending(marker: entries[index].marker, isRetry: entries[index].wasSent)
    }

    /// It is stored, or refused for good.
    mutating func remove(_ number: Int, in room: Int) -> Marker? {
        guard let index = index(number, room) else { return nil }
        return entries.remove(at: index).marker
    }

    /// A message could not be stored now: it is to be sent again, and the others with it, after ``goOn()``.
    mutating func postpone(_ number: Int, in room: Int) {
        guard let index = index(number, room) else { return }
        entries[index].isOut = false
        isHeldBack = true
    }

    private func index(_ number: Int, _ room: Int) -> Int? {
        entries.firstIndex { $0.marker.number == number && $0.marker.room == room }
    }

    mutating func goOn() {
        isHeldBack = false
    }

    /// Nothing is on its way any more, and another connection knows nothing of a wait.
    mutating func connectionLost() {
        for index in entries.indices { entries[index].isOut = false }
        isHeldBack = false
    }
}
