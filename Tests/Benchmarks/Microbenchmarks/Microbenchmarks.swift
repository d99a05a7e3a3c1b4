/// What the hot paths do, some thousand times each, to be counted instruction by instruction: `deploy/bench --check`
/// runs it under callgrind. What is counted does not depend on how busy the machine is, as times do.
///
/// Prints the name of each benchmark and how many operations are in its counted part, in the order in which they run.
@main
struct Microbenchmarks {
    static func main() throws {
        let benchmarks = try WrapperBenchmarks.all + ProtocolBenchmarks.all + FanOutBenchmarks.all + PathBenchmarks.all
        for benchmark in benchmarks {
            // Once before, so that caches are filled and buffers have grown.
            benchmark.run()
            countedPart(benchmark.run)
            benchmark.check()
            print("\(benchmark.operations) \(benchmark.name)")
        }
    }
}

/// Something that is counted.
struct Benchmark {
    let name: String
    /// How often the operation is done in ``run``; counts are told for one.
    let operations: Int
    let run: () -> Void
    /// Traps when not all was done; not counted.
    let check: () -> Void

    init(_ name: String, operations: Int, run: @escaping () -> Void, check: @escaping () -> Void = {}) {
        self.name = name
        self.operations = operations
        self.run = run
        self.check = check
    }
}

/// Where callgrind begins and ends to count: it knows this function by its name.
@inline(never)
func countedPart(_ body: () -> Void) {
    body()
}

/// Keeps the optimizer from leaving out what nobody looks at.
@inline(never)
func consume(_ value: Int) {
    sink = sink &+ value
}

/// `nonisolated(unsafe)`: there is no thread but the main one.
nonisolated(unsafe) private var sink = 0
