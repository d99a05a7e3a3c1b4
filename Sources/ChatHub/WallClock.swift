#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The system's time of day: for metrics, and where no store has a clock of its own.
package enum WallClock {
    /// Microseconds since 1970.
    package static func microseconds() -> UInt64 { UInt64(max(0, Date().timeIntervalSince1970) * 1e6) }

    /// Milliseconds since 1970.
    package static func milliseconds() -> UInt64 { microseconds() / 1000 }
}
