import ChatProtocol
import NIOCore
import Testing

@testable import ChatClient

@Suite("The outbox")
struct OutboxTests {
    private let now = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func outbox(_ ids: String..., messages: Int = 10, bytes: Int = 100_000) throws -> Outbox {
        var outbox = Outbox(limits: .init(messages: messages, bytes: bytes))
        for id in ids { try outbox.add(try post(id), id: try #require(RequestID(id))) }
        return outbox
    }

    private func drain(_ outbox: inout Outbox, link: Int) -> [String] {
        var sent: [String] = []
        while let post = outbox.next(for: link, at: now) {
            sent.append((post.id?.text ?? "") + (post.isRetry ? "!" : ""))
        }
        return sent
    }

    @Test("Messages go out once on a connection, in order")
    func order() throws {
        var outbox = try outbox("a", "b")
        #expect(drain(&outbox, link: 1) == ["a", "b"])
        #expect(drain(&outbox, link: 1) == [])
        try outbox.add(try post("c"), id: try #require(RequestID("c")))
        #expect(drain(&outbox, link: 1) == ["c"])
    }

    @Test("On a new connection all that is unacknowledged goes out again, marked as a retry only if it was sent")
    func retry() throws {
        var outbox = try outbox("a", "b", "c")
        #expect(outbox.next(for: 1, at: now)?.id?.text == "a")
        #expect(outbox.next(for: 1, at: now)?.id?.text == "b")
        #expect(outbox.remove(try #require(RequestID("a"))) == true)
        #expect(drain(&outbox, link: 2) == ["b!", "c"])
    }

    @Test("A message that could not be stored goes out again before later ones")
    func postponed() throws {
        var outbox = try outbox("a", "b", "c")
        _ = outbox.next(for: 1, at: now)
        _ = outbox.next(for: 1, at: now)
        #expect(outbox.postpone(try #require(RequestID("a"))) == true)
        #expect(drain(&outbox, link: 1) == ["a!", "c"])
    }

    @Test("An acknowledgement that comes out of order skips nothing")
    func outOfOrder() throws {
        var outbox = try outbox("a", "b", "c")
        _ = outbox.next(for: 1, at: now)
        _ = outbox.next(for: 1, at: now)
        #expect(outbox.remove(try #require(RequestID("b"))) == true)
        #expect(drain(&outbox, link: 1) == ["c"])
        #expect(outbox.remove(try #require(RequestID("b"))) == false)
    }

    @Test("It is bounded by messages and by bytes, and says so")
    func bounds() throws {
        var few = try outbox("a", "b", messages: 2)
        #expect { try few.add(try post("c"), id: try #require(RequestID("c"))) } throws: {
            ($0 as? ChatClientError)?.code == .outboxFull
        }
        #expect(few.remove(try #require(RequestID("a"))) == true)
        try few.add(try post("c"), id: try #require(RequestID("c")))
        #expect { try outbox("a", "b", bytes: 300) } throws: { ($0 as? ChatClientError)?.code == .outboxFull }
    }

    @Test("Bytes are given back")
    func bytes() throws {
        var outbox = try outbox("a", "b")
        #expect(outbox.bytes > 0)
        #expect(outbox.remove(try #require(RequestID("a"))) == true)
        #expect(outbox.remove(try #require(RequestID("b"))) == true)
        #expect(outbox.bytes == 0)
        #expect(outbox.isEmpty)
    }

    @Test("One id cannot wait twice")
    func idInUse() throws {
        #expect { try outbox("a", "a") } throws: { ($0 as? ChatClientError)?.code == .idInUse }
    }

    @Test("It knows since when a connection owes an answer")
    func oldest() throws {
        var outbox = try outbox("a", "b")
        #expect(outbox.oldestSent(on: 1) == nil)
        _ = outbox.next(for: 1, at: now)
        _ = outbox.next(for: 1, at: now + .seconds(3))
        #expect(outbox.oldestSent(on: 1) == now)
        #expect(outbox.oldestSent(on: 2) == nil)
    }

    @Test("Of own messages the latest are remembered")
    func ownMessages() throws {
        var own = OwnMessages(capacity: 2)
        for id in ["a", "b", "b", "c"] { own.insert(try #require(RequestID(id))) }
        #expect(!own.contains(try #require(RequestID("a"))))
        #expect(own.contains(try #require(RequestID("b"))))
        #expect(own.contains(try #require(RequestID("c"))))
    }
}
