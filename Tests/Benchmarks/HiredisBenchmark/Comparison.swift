/// One way to do the work. Returns how many payload bytes it has seen, so that nothing is optimised away and all can be
/// held against each other.
struct Contestant {
    let name: String
    let run: () -> Int

    init(_ name: String, run: @escaping () -> Int) {
        self.name = name
        self.run = run
    }
}

/// Lets contestants take turns, so that a machine that slows down slows all of them, and prints the median of each and
/// the median of its ratios to the first contestant in the same round.
struct Comparison {
    let title: String
    let operations: Int
    let contestants: [Contestant]

    func run(rounds: Int) {
        var nanoseconds = Array(repeating: [Double](), count: self.contestants.count)
        let expected = self.contestants.map { $0.run() }
        precondition(Set(expected).count <= 1, "the contestants do not do the same work: \(expected)")
        for round in 0..<max(1, rounds) {
            for turn in self.contestants.indices {
                let index = (turn + round) % self.contestants.count
                let clock = ContinuousClock()
                let start = clock.now
                let seen = self.contestants[index].run()
                let elapsed = clock.now - start
                precondition(seen == expected[index], "a contestant does not do the same work each time")
                nanoseconds[index].append(elapsed / .nanoseconds(1) / Double(self.operations))
            }
        }
        print(self.title)
        for (contestant, times) in zip(self.contestants, nanoseconds) {
            let ratio = Self.median(zip(times, nanoseconds[0]).map { $0 / $1 })
            print("  \(Self.column(Self.median(times))) ns  x \(Self.rounded(ratio))  \(contestant.name)")
        }
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    private static func rounded(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }

    private static func column(_ value: Double) -> String {
        let text = "\(Int(value.rounded()))"
        return String(repeating: " ", count: max(0, 6 - text.count)) + text
    }
}
