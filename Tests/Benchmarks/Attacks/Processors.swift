import Foundation
import TestSupport

/// Who runs where. The gateway has one processor to itself and the attacker another, which is also Redis's and the
/// room's; so an attack costs the room what it costs the gateway, and not what the attacker itself takes of the
/// machine.
enum Processors {
    static let gateway = 0
    static let others = 1

    /// Moves a process, with all its threads; what it starts later begins there.
    static func move(_ pid: Int32, to processor: Int, folder: URL) async throws {
        let taskset = try ChildProcess(
            "taskset", executable: "taskset", arguments: ["-a", "-c", "-p", "\(processor)", "\(pid)"], folder: folder)
        guard case .exited(0) = await taskset.end() else { throw Failure(output: taskset.output) }
    }

    /// Two processors are needed, and `taskset`.
    struct Failure: Error, CustomStringConvertible {
        var output: String

        var description: String { "a process could not be given a processor of its own: \(output)" }
    }
}
