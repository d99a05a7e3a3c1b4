import Testing

@testable import ChatGateway

@Suite("What one session reads from the store")
struct ReadQueueTests {
    @Test("Two at once, 64 wait in order, more are refused; an end lets the next begin")
    func order() {
        var queue = ReadQueue()
        var begun: [Int] = []
        let admissions = (0..<67).map { number in queue.add { begun.append(number) } }
        #expect(admissions == [.begins, .begins] + [ReadQueue.Admission](repeating: .waits, count: 64) + [.refused])
        while let next = queue.ended() { next() }
        #expect(begun == Array(2..<66))
        #expect(queue.add {} == .begins)
    }

    @Test("Those that wait can be forgotten, what is under way cannot")
    func forgotten() {
        var queue = ReadQueue()
        for _ in 0..<5 { _ = queue.add {} }
        queue.forget()
        #expect(queue.add {} == .waits)
    }
}
