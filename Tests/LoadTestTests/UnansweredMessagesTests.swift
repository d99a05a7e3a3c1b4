import Testing

@testable import LoadTest

@Suite("What a virtual user has to send")
struct UnansweredMessagesTests {
    private func marker(_ number: Int) -> Marker { Marker(room: 0, number: number, sender: 1, dueAt: 0) }

    private func messages(_ numbers: Int...) -> UnansweredMessages {
        var messages = UnansweredMessages()
        for number in numbers { messages.add(marker(number)) }
        return messages
    }

    /// All that goes out now; a minus stands before what was sent earlier.
    private func sendAll(_ messages: inout UnansweredMessages) -> [Int] {
        var numbers: [Int] = []
        while let next = messages.next() {
            numbers.append(next.isRetry ? -next.marker.number : next.marker.number)
        }
        return numbers
    }

    @Test("Each message goes out once, in order, and is done with when it is answered")
    func inOrder() {
        var messages = messages(1, 4)
        #expect(sendAll(&messages) == [1, 4])
        messages.add(marker(9))
        #expect(sendAll(&messages) == [9])
        for number in [4, 1, 9] { #expect(messages.remove(number, in: 0)?.number == number) }
        #expect(messages.remove(4, in: 0) == nil)
        #expect(messages.isEmpty)
    }

    @Test("While a message waits to be sent again later ones wait behind it")
    func heldBack() {
        var messages = messages(1, 2)
        #expect(sendAll(&messages) == [1, 2])
        messages.postpone(1, in: 0)
        messages.add(marker(3))
        #expect(sendAll(&messages).isEmpty)
        messages.postpone(2, in: 0)
        messages.add(marker(4))
        #expect(sendAll(&messages).isEmpty)
        messages.goOn()
        #expect(sendAll(&messages) == [-1, -2, 3, 4])
    }

    @Test("The next connection takes all at once, and what never went out is no retry there")
    func nextConnection() {
        var messages = messages(1, 2)
        #expect(sendAll(&messages) == [1, 2])
        messages.postpone(2, in: 0)
        messages.add(marker(3))
        messages.connectionLost()
        #expect(!messages.isHeldBack)
        #expect(sendAll(&messages) == [-1, -2, 3])
    }

    @Test("A message that is answered after all is not sent again")
    func answeredLate() {
        var messages = messages(1, 2)
        #expect(sendAll(&messages) == [1, 2])
        messages.postpone(1, in: 0)
        #expect(messages.remove(1, in: 0)?.number == 1)
        messages.goOn()
        #expect(sendAll(&messages).isEmpty)
    }
}
