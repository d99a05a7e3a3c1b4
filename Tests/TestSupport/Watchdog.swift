import Foundation
import Synchronization

/// Kills the children of the tests when the tests are gone, however they went: a shell that holds the other end of a
/// pipe, and acts when that closes. (The parent-death signal of Linux would not do: it comes when the *thread* that
/// started the child ends.)
final class Watchdog: Sendable {
    static let shared = Result { try Watchdog() }

    private let pipe: Mutex<FileHandle>

    private init() throws {
        let script = """
            trap '' HUP INT TERM
            pids=' '
            while read -r sign pid; do
                case $sign in
                    +) pids="$pids$pid " ;;
                    -) pids="${pids%%" $pid "*} ${pids#*" $pid "}" ;;
                esac
            done
            for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
            """
        let pipe = Pipe()
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", script]
        process.standardInput = pipe
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.pipe = Mutex(pipe.fileHandleForWriting)
    }

    func watch(_ pid: Int32) throws { try say("+ \(pid)\n") }

    /// To be called when the child has been waited for: its number may go to another process.
    func forget(_ pid: Int32) throws { try say("- \(pid)\n") }

    private func say(_ line: String) throws {
        try pipe.withLock { try $0.write(contentsOf: Data(line.utf8)) }
    }
}
