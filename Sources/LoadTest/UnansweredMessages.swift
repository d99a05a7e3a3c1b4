/// What one user of a load test has sent, or is to send, and is not answered yet, in the order of the numbers.
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

    /// A message is due, with a greater number than all before it.
    mutating func add(_ marker: Marker) {
        entries.append(Entry(marker: marker))
    }

    func marker(_ number: Int) -> Marker? {
        entries.first { $0.marker.number == number }?.marker
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
    mutating func remove(_ number: Int) -> Marker? {
        guard let index = entries.firstIndex(where: { $0.marker.number == number }) else { return nil }
        return entries.remove(at: index).marker
    }

    /// A message could not be stored now: it is to be sent again, and the others with it, after ``goOn()``.
    mutating func postpone(_ number: Int) {
        guard let index = entries.firstIndex(where: { $0.marker.number == number }) else { return }
        entries[index].isOut = false
        isHeldBack = true
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
