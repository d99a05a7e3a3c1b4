import Foundation
import TestSupport

/// What only root may do to the machine, each on a Linux machine and with its own undoing.
enum Machine {
    /// - Throws: a message that tells what to do, where the tests do not run as root on Linux.
    static func needsRoot(to what: String) throws {
        #if os(Linux)
        guard getuid() == 0 else { throw ProgramFailure(description: "run this test as root: it is to \(what)") }
        #else
        throw ProgramFailure(description: "run this test on Linux, as root: it is to \(what)")
        #endif
    }

    /// What the kernel may not let even root do.
    static func allowed(to what: String, _ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch let failure as ProgramFailure {
            throw ProgramFailure(
                description: """
                    this machine does not let the tests \(what): \(failure). A container must be started with \
                    `--privileged`
                    """)
        }
    }

    /// Runs a program to its end; what it prints.
    ///
    /// - Throws: ``ProgramFailure`` when it does not exit with 0, ``MissingProgram`` when it is not installed.
    @discardableResult
    static func run(_ program: String, _ arguments: String...) async throws -> String {
        let folder = try ScratchFolder("machine")
        defer { folder.remove() }
        let process = try ChildProcess(program, executable: program, arguments: arguments, folder: folder.url)
        let ending = await process.end()
        guard ending == .exited(0) else {
            throw ProgramFailure(
                description: "\(program) \(arguments.joined(separator: " ")): \(ending) \(process.output)")
        }
        return process.output
    }

    /// Packets from and to these ports on this machine are lost while `work` runs, so many of a hundred.
    static func losing(percent: Int, ofPorts ports: [Int], _ work: () async throws -> Void) async throws {
        try needsRoot(to: "drop packets")
        let table = "roost_faults_\(getpid())"
        let set = "{ " + ports.map { "\($0)" }.joined(separator: ", ") + " }"
        let some = percent < 100 ? "numgen random mod 100 < \(percent) " : ""
        let rules = ["dport", "sport"].map { "add rule inet \(table) loss tcp \($0) \(set) \(some)drop\n" }
        let folder = try ScratchFolder("nft")
        defer { folder.remove() }
        let file = folder.url.appending(path: "rules").path()
        try
            ("add table inet \(table)\n"
            + "add chain inet \(table) loss { type filter hook input priority 0; }\n" + rules.joined())
            .write(toFile: file, atomically: true, encoding: .utf8)
        try await allowed(to: "drop packets") { try await run("nft", "-f", file) }
        do {
            try await work()
        } catch {
            try await run("nft", "delete", "table", "inet", table)
            throw error
        }
        try await run("nft", "delete", "table", "inet", table)
    }
}
