import ChatProtocol
import Testing

struct PositionTests {
    @Test(arguments: [
        "0-0", "0-1", "1-0", "1700000000000-1", "18446744073709551615-18446744073709551615", "10-10",
    ])
    func `A position is two decimals and is written as it was read`(_ text: String) throws {
        #expect(try #require(Position(text)).description == text)
    }

    @Test(arguments: [
        "", "-", "1", "1-", "-1", "1--1", "--", "1-1-1", "01-1", "1-01", "00-0", "+1-1", "1-+1", "1- 1", " 1-1", "1-1 ",
        "18446744073709551616-1", "1-18446744073709551616", "99999999999999999999-1", "100000000000000000000-1", "a-1",
        "1-a", "0x1-1", "1-1\n", "1-1\u{0}", "１-1", "1–1", "1.0-1", "1e3-1", "$", "*", "(1-1",
    ])
    func `What is not exactly that is no position`(_ text: String) {
        #expect(Position(text) == nil)
    }

    @Test func `Positions compare as two numbers, not as text and not as one`() throws {
        let sorted = ["0-0", "9-10", "10-2", "10-10", "10-18446744073709551615", "11-1", "18446744073709551615-0"]
        let positions = try sorted.map { try #require(Position($0)) }
        #expect(positions.reversed().sorted() == positions)
    }

    @Test func `Only the next number of the same epoch follows`() {
        let position = Position(epoch: 7, seq: 4)
        #expect(position.isFollowed(by: Position(epoch: 7, seq: 5)))
        #expect(!position.isFollowed(by: Position(epoch: 7, seq: 4)))
        #expect(!position.isFollowed(by: Position(epoch: 7, seq: 6)))
        #expect(!position.isFollowed(by: Position(epoch: 8, seq: 5)))
        #expect(!Position(epoch: 7, seq: .max).isFollowed(by: Position(epoch: 7, seq: 0)))
    }
}
