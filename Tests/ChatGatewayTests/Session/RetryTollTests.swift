import ChatProtocol
import NIOEmbedded
import TestSupport
import Testing

@testable import ChatGateway

@Suite("What retries cost")
struct RetryTollTests {
    private let loop = EmbeddedEventLoop()
    private let alice = UserName.of("alice")

    private func toll(perSecond: Int) -> RetryToll {
        RetryToll(rates: RequestRates(perSecond: perSecond, burst: 2), eventLoop: loop)
    }

    @Test("Those of one turn to one room count once, however many they are")
    func together() {
        let toll = toll(perSecond: 1)
        for _ in 0..<1000 { #expect(toll.take(of: alice, to: .of("general")) == nil) }
        loop.run()
        #expect(toll.take(of: alice, to: .of("general")) == nil)
        loop.run()
        #expect(toll.take(of: alice, to: .of("general")) == 1000)
        #expect(toll.take(of: .of("bob"), to: .of("general")) == nil)
    }

    @Test("Each room counts, as the log of each is looked through")
    func rooms() {
        let toll = toll(perSecond: 1)
        #expect(toll.take(of: alice, to: .of("one")) == nil)
        #expect(toll.take(of: alice, to: .of("two")) == nil)
        #expect(toll.take(of: alice, to: .of("three")) == 1000)
        #expect(toll.take(of: alice, to: .of("two")) == nil)
    }

    @Test("Without a limit all go on")
    func unlimited() {
        let toll = toll(perSecond: 0)
        for _ in 0..<100 {
            #expect(toll.take(of: alice, to: .of("general")) == nil)
            loop.run()
        }
    }
}
