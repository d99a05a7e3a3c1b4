import Testing

/// Every fault that a cluster meets, injected for real under traffic; and the proof, from the members' own records, that
/// what was acknowledged arrived, once and in order. One after the other: each has the machine to itself.
@Suite("Faults", .serialized)
enum FaultTests {}
