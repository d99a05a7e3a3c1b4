import Testing

@testable import ChatGateway

@Suite("Waiting in line")
struct FairQueueTests {
    @Test("Who comes from one address waits behind its own; another address's turn is the next")
    func turns() {
        var queue = FairQueue<String>()
        for number in 1...3 { queue.append("crowd \(number)", of: "10.0.0.1") }
        queue.append("alice", of: "10.0.0.2")
        queue.append("bob", of: "10.0.0.3")
        var served: [String] = []
        while let next = queue.popFirst() { served.append(next) }
        #expect(served == ["crowd 1", "alice", "bob", "crowd 2", "crowd 3"])
        #expect(queue.isEmpty)
    }

    @Test("A line that has ended begins again at the end")
    func again() {
        var queue = FairQueue<Int>()
        queue.append(1, of: "a")
        queue.append(2, of: "b")
        #expect(queue.popFirst() == 1)
        queue.append(3, of: "a")
        queue.append(4, of: "b")
        for next in [2, 3, 4, nil] { #expect(queue.popFirst() == next) }
    }
}
