import Foundation
import NIOConcurrencyHelpers

/// Ends the processes of a local cluster when this one is gone, however it went: a shell that holds the other end of a
/// pipe, and acts when that closes. (On Linux a child can ask for a signal at its parent's death, but gets it when the
/// thread ends that started it.)
final class Watchdog: Sendable {
    private let pipe: NIOLockedValueBox<FileHandle>

    /// - Parameter folder: is removed then.
    init(folder: URL) throws {
        let script = """
            trap '' HUP INT TERM
            pids=' '
            while read -r sign pid; do
                if [ "$sign" = + ]; then
                    pids="$pids$pid "
                else
                    pids="${pids%%" $pid "*} ${pids#*" $pid "}"
                fi
            done
            for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
            rm -rf "$1"
            """
        let pipe = Pipe()
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let shell = Process()
        shell.executableURL = URL(filePath: "/bin/sh")
        shell.arguments = ["-c", script, "sh", folder.path()]
        shell.standardInput = pipe
        shell.standardOutput = FileHandle.nullDevice
        shell.standardError = FileHandle.nullDevice
        try shell.run()
        self.pipe = NIOLockedValueBox(pipe.fileHandleForWriting)
    }

    func watch(_ pid: Int32) { say("+ \(pid)\n") }

    /// It has been waited for: its number may go to another process.
    func forget(_ pid: Int32) { say("- \(pid)\n") }

    private func say(_ line: String) {
        pipe.withLockedValue { try? $0.write(contentsOf: Data(line.utf8)) }
    }
}
