#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// Standard error, written a whole line at a time so that the lines of several threads do not mix.
enum StandardError {
    @Sendable static func write(_ line: String) {
        var line = line
        line.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                #if canImport(Darwin)
                let count = Darwin.write(STDERR_FILENO, rest.baseAddress, rest.count)
                #else
                let count = Glibc.write(STDERR_FILENO, rest.baseAddress, rest.count)
                #endif
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if count == 0 || errno != EINTR {
                    // Nobody reads the log any more, or its disk is full: the service goes on without it.
                    return
                }
            }
        }
    }
}
