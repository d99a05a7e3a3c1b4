import FoundationEssentials

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What this process has used, under the names that Prometheus' own clients give it.
struct ProcessMetrics {
    /// User and system time of all threads (getrusage(2)).
    var cpuSeconds: Double
    /// Memory that is in use (/proc/self/statm); nil where the system does not say.
    var residentBytes: Int?

    static func now() -> ProcessMetrics {
        var usage = rusage()
        #if canImport(Glibc)
        let who = __rusage_who_t(RUSAGE_SELF.rawValue)
        #else
        let who = RUSAGE_SELF
        #endif
        _ = getrusage(who, &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return ProcessMetrics(
            cpuSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime), residentBytes: residentMemory())
    }

    private static func residentMemory() -> Int? {
        #if os(Linux)
        // Pages: all, resident, …
        guard let text = try? String(contentsOf: URL(filePath: "/proc/self/statm"), encoding: .utf8) else { return nil }
        return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map {
            $0 * sysconf(Int32(_SC_PAGESIZE))
        }
        #else
        return nil
        #endif
    }

    /// - Parameter startedAt: seconds since 1970; tells a reader whether counters began anew.
    func write(into page: inout PrometheusText, startedAt: Double) {
        page.add("process_start_time_seconds", .gauge, "When it started, in seconds since 1970.", startedAt)
        page.add("process_cpu_seconds_total", .counter, "User and system time.", cpuSeconds)
        if let residentBytes {
            page.add("process_resident_memory_bytes", .gauge, "Memory in use.", residentBytes)
        }
    }
}
