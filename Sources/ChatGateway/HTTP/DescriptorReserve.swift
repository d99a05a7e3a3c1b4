import NIOCore

/// Keeps the last of the process's file descriptors from clients: with none left the node could neither tell that it
/// lives nor connect to its store again. The system gives the lowest number that is free, so the number of a client's tells
/// how many are in use.
struct DescriptorReserve: Sendable, Equatable {
    /// The lowest number that is no client's.
    let ceiling: Int

    /// - Parameter limit: how many descriptors the process may have; nil when that is not known.
    init(limit: Int?) {
        ceiling = limit.map { $0 - min(64, $0 / 4) } ?? .max
    }

    /// Whether a connection that was just accepted, as this number, leaves enough of them.
    func allows(_ number: Int) -> Bool { number < ceiling }
}
