/// Code that strangers' bytes reach, and what must hold whatever they are. What does not hold traps.
package protocol FuzzTarget: Sendable {
    init() async throws
    func check(_ input: [UInt8])
}

package enum FuzzTargets {
    package static let all: [(name: String, type: any FuzzTarget.Type)] = [
        ("frames", FramesTarget.self), ("json", JSONTarget.self), ("tokens", TokensTarget.self),
        ("redis", RedisTarget.self),
    ]

    package static func make(_ name: String) async throws -> (any FuzzTarget)? {
        for target in all where target.name == name { return try await target.type.init() }
        return nil
    }
}

/// Cuts an input into reads, as its own bytes say.
struct Cuts {
    private var state: UInt8

    init(_ seed: UInt8) { state = seed }

    /// From 1 to 16, mostly small.
    mutating func next() -> Int {
        state = state &* 73 &+ 41
        return 1 + Int(state >> 4)
    }
}
