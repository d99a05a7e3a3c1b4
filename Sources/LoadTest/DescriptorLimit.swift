#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Each connection is a file descriptor, and a process begins with few.
package enum DescriptorLimit {
    /// Descriptors that are not connections: loops, terminal, libraries.
    static let others = 64

    /// Raises the soft limit so that so many connections fit.
    ///
    /// - Throws: ``InvalidPlan`` with what the system allows and how to raise it.
    package static func raise(forConnections connections: Int) throws {
        #if canImport(Glibc)
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let resource = RLIMIT_NOFILE
        #endif
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        let needed = rlim_t(connections + others)
        guard limit.rlim_cur < needed else { return }
        limit.rlim_cur = min(needed, limit.rlim_max)
        guard setrlimit(resource, &limit) == 0, limit.rlim_cur >= needed else {
            throw InvalidPlan(
                flag: "clients",
                message: "\(connections) need \(needed) file descriptors, the system allows \(limit.rlim_max); "
                    + "raise it (ulimit -Hn, LimitNOFILE=) or use several machines")
        }
    }
}
