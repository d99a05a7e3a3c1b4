import Foundation
import NIOConcurrencyHelpers

/// A program of a local cluster. Its output goes to a file.
final class LocalProcess: Sendable {
    let name: String
    let pid: Int32
    private let log: URL
    private let ending = NIOLockedValueBox<String?>(nil)

    /// - Parameters:
    ///   - executable: a path, or a name to be found in `PATH` and where systems put servers.
    ///   - environment: added to our own.
    /// - Throws: ``LoadRunError`` when there is no such program, or what Foundation says.
    init(
        _ name: String, executable: String, arguments: [String], environment: [String: String] = [:], folder: URL,
        watchdog: Watchdog
    ) throws {
        self.name = name
        log = folder.appending(path: "\(name).log")
        if !FileManager.default.fileExists(atPath: log.path()) { try Data().write(to: log) }
        let output = try FileHandle(forWritingTo: log)
        try output.seekToEnd()
        let process = Process()
        process.executableURL = try Self.find(executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.currentDirectoryURL = folder
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        process.terminationHandler = { [ending] process in
            watchdog.forget(process.processIdentifier)
            let how = process.terminationReason == .uncaughtSignal ? "signal" : "code"
            ending.withLockedValue { $0 = "\(how) \(process.terminationStatus)" }
        }
        try Self.withoutBlockedSignals { try process.run() }
        pid = process.processIdentifier
        watchdog.watch(pid)
        if !process.isRunning { watchdog.forget(pid) }
        try output.close()
    }

    /// A child has the signal mask of the thread that started it, and the threads of tasks block nearly everything: Redis
    /// would never hear of SIGTERM.
    private static func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try body()
    }

    /// Nil while it runs.
    var howItEnded: String? { ending.withLockedValue { $0 } }

    func signal(_ number: Int32) {
        if howItEnded == nil { _ = kill(pid, number) }
    }

    /// Waits until it has ended.
    ///
    /// - Throws: ``LoadRunError`` when it does not, `CancellationError`.
    func ended(within limit: Duration = .seconds(60)) async throws {
        try await Patience.wait(for: "\(name) to end", within: limit) { self.howItEnded != nil }
    }

    /// What it wrote last, for somebody who has to know why it is not there.
    var lastLines: String {
        let text = (try? String(decoding: Data(contentsOf: log), as: UTF8.self)) ?? ""
        return text.split(separator: "\n").suffix(10).joined(separator: "\n")
    }

    private static let packages = ["redis-server": ("redis-server", "redis"), "haproxy": ("haproxy", "haproxy")]

    static func find(_ executable: String) throws -> URL {
        if executable.contains("/") { return URL(filePath: executable) }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders =
            path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"]
        for folder in folders {
            let candidate = URL(filePath: folder).appending(path: executable)
            if FileManager.default.isExecutableFile(atPath: candidate.path()) { return candidate }
        }
        let package = packages[executable] ?? (executable, executable)
        throw LoadRunError(
            description: "--local needs \(executable), which is not installed: apt-get install \(package.0), or brew "
                + "install \(package.1)")
    }
}

/// Waiting for what another process does and nothing announces.
enum Patience {
    /// - Throws: ``LoadRunError`` naming `what`, what `condition` throws, `CancellationError`.
    static func wait(
        for what: String, within limit: Duration, until condition: @Sendable () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + limit
        while try await !condition() {
            guard ContinuousClock.now < deadline else {
                throw LoadRunError(description: "waited \(Decimals.short(limit.inSeconds)) s for \(what)")
            }
            try await Task.sleep(for: .milliseconds(30))
        }
    }
}
