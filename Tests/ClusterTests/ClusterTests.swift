import Testing

/// End to end: real gateways, a real Redis, HAProxy as deployed. One after the other: each has a machine's worth of
/// processes to itself.
@Suite("Cluster", .serialized)
enum ClusterTests {}
