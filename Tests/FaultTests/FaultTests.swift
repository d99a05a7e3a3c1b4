import Testing

/// Every fault that a cluster meets, injected for real under traffic; and the proof, from the members' own records, that
/// what was acknowledged arrived, once and in order. One after the other: each has the machine to itself. In the end the
/// README's table is printed: `swift test --no-parallel --filter '^FaultTests\.' | grep '^|'`.
@Suite("Faults", .serialized, .printsTable)
enum FaultTests {}
