package import Foundation
import Synchronization

/// A program that a test started. Its output goes to a file, so that it never waits for the test to read.
package final class ChildProcess: Sendable {
    /// How a process ended.
    package enum Ending: Sendable, Equatable {
        case exited(Int32)
        case signalled(Int32)
    }

    package let name: String
    package let pid: Int32
    private let outputURL: URL
    private let ending: EndingSlot

    /// - Parameters:
    ///   - executable: A path, or a name to be found in `PATH` and the `sbin` folders.
    ///   - environment: Added to the test's own, from which everything that begins with `ROOST_` is left out.
    ///   - folder: Where the file with the output goes.
    /// - Throws: ``MissingProgram``, or what Foundation says.
    package init(
        _ name: String, executable: String, arguments: [String], environment: [String: String] = [:], folder: URL
    ) throws {
        let watchdog = try Watchdog.shared.get()
        self.name = name
        outputURL = folder.appending(path: "\(name)-\(UUID().uuidString.prefix(8)).log")
        try Data().write(to: outputURL)
        let output = try FileHandle(forWritingTo: outputURL)
        let process = Process()
        process.executableURL = try Self.find(executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("ROOST_") }.merging(environment) { $1 }
        process.currentDirectoryURL = folder
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        let slot = EndingSlot()
        ending = slot
        process.terminationHandler = { process in
            try? watchdog.forget(process.processIdentifier)
            slot.set(
                process.terminationReason == .uncaughtSignal
                    ? .signalled(process.terminationStatus) : .exited(process.terminationStatus))
        }
        try process.run()
        pid = process.processIdentifier
        try watchdog.watch(pid)
        if !process.isRunning { try watchdog.forget(pid) }
        try output.close()
    }

    /// Everything that it has written so far, to standard output and standard error.
    package var output: String {
        (try? String(decoding: Data(contentsOf: outputURL), as: UTF8.self)) ?? ""
    }

    /// nil while it runs.
    package var endingSoFar: Ending? { ending.value }

    /// Does nothing when it has ended already.
    package func signal(_ number: Int32) {
        if ending.value == nil { _ = Foundation.kill(pid, number) }
    }

    /// Waits until it has ended.
    @discardableResult
    package func end() async -> Ending { await ending.wait() }

    /// Kills it and waits.
    @discardableResult
    package func killAndWait() async -> Ending {
        signal(SIGKILL)
        return await end()
    }

    private static func find(_ executable: String) throws -> URL {
        if executable.contains("/") { return URL(filePath: executable) }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        for folder in path.split(separator: ":").map(String.init) + [
            "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin",
        ] {
            let candidate = URL(filePath: folder).appending(path: executable)
            if FileManager.default.isExecutableFile(atPath: candidate.path()) { return candidate }
        }
        throw MissingProgram(name: executable)
    }
}

/// A program that the tests need is not installed.
package struct MissingProgram: Error, CustomStringConvertible {
    package let name: String

    package var description: String { "\(name) is not installed; deploy/test installs what the tests need" }
}

/// Takes one ending, hands it to all who wait or come later.
private final class EndingSlot: Sendable {
    private struct State {
        var value: ChildProcess.Ending?
        var waiting: [CheckedContinuation<ChildProcess.Ending, Never>] = []
    }
    private let state = Mutex(State())

    var value: ChildProcess.Ending? { state.withLock { $0.value } }

    func set(_ value: ChildProcess.Ending) {
        let waiting = state.withLock { state in
            state.value = value
            return exchange(&state.waiting, with: [])
        }
        for continuation in waiting { continuation.resume(returning: value) }
    }

    func wait() async -> ChildProcess.Ending {
        await withCheckedContinuation { continuation in
            let value = state.withLock { state in
                if state.value == nil { state.waiting.append(continuation) }
                return state.value
            }
            if let value { continuation.resume(returning: value) }
        }
    }
}

private func exchange<Value>(_ place: inout Value, with value: Value) -> Value {
    let old = place
    place = value
    return old
}
