import ChatProtocol
import Testing

struct CloseCodeTests {
    @Test func `A client comes back unless it is at fault or lost its rights`() {
        let comesBack = CloseCode.allCases.filter(\.shouldReconnect).map(\.rawValue)
        #expect(comesBack == [1000, 1001, 1011, 1012, 1013])
        #expect(CloseCode.allCases.map(\.rawValue) == [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013])
    }

    @Test func `A connection lost without a word, or by somebody in between, is tried again`() {
        for code in [nil, 1006, 1005, 1014, 4000] as [UInt16?] { #expect(CloseCode.shouldReconnect(after: code)) }
        for code in [1002, 1008] as [UInt16?] { #expect(!CloseCode.shouldReconnect(after: code)) }
        #expect(CloseCode.shouldReconnect(after: 1012))
    }
}

struct BackoffTests {
    @Test func `The longest wait doubles from a tenth of a second to twenty seconds`() {
        var backoff = Backoff()
        var random = SeededGenerator(seed: 1)
        var ceilings: [Duration] = []
        for _ in 0..<10 {
            let ceiling = backoff.ceiling
            ceilings.append(ceiling)
            let wait = backoff.failed(using: &random)
            #expect(.zero <= wait && wait <= ceiling)
        }
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 20_000, 20_000]
        #expect(ceilings == expected.map { .milliseconds($0) })
    }

    @Test func `Waits spread over the whole range, so that clients do not come back together`() {
        var random = SeededGenerator(seed: 2)
        var tenths = Set<Int>()
        for _ in 0..<1000 {
            var backoff = Backoff(.init(initial: .seconds(10), maximum: .seconds(20)))
            tenths.insert(Int(backoff.failed(using: &random) / .seconds(1)))
        }
        #expect(tenths.isSuperset(of: 0..<10))
    }

    @Test func `A connection that works begins anew, and years of failures change nothing`() {
        var backoff = Backoff()
        for _ in 0..<10_000 { #expect(backoff.failed() <= .seconds(20)) }
        #expect(backoff.ceiling == .seconds(20))
        backoff.succeeded()
        #expect(backoff == Backoff())
    }
}
