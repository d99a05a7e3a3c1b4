import Foundation
import TestSupport

/// Limits what one process may use of the machine (cgroups, version 1) until it ends.
struct ControlGroup {
    private let folder: URL

    /// - Parameters:
    ///   - controller: `cpu` or `memory`.
    ///   - limits: what is written into the group's files.
    init(_ controller: String, limits: [(file: String, value: String)], process: Int32) throws {
        try Machine.needsRoot(to: "limit what a gateway may use")
        let root = URL(filePath: "/sys/fs/cgroup/\(controller)")
        guard FileManager.default.fileExists(atPath: root.appending(path: "cgroup.procs").path()) else {
            throw ProgramFailure(
                description: """
                    there is no \(root.path()): mount it with `mkdir -p \(root.path()) && mount -t cgroup -o \(controller) \
                    cgroup \(root.path())`, or start the kernel with systemd.unified_cgroup_hierarchy=0
                    """)
        }
        folder = root.appending(path: "roost-faults-\(process)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
            for limit in limits { try Self.write(limit.value, to: folder.appending(path: limit.file)) }
            try Self.write("\(process)", to: folder.appending(path: "cgroup.procs"))
        } catch {
            rmdir(folder.path())
            throw error
        }
    }

    func read(_ file: String) throws -> String {
        try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func change(_ file: String, to value: String) throws { try Self.write(value, to: folder.appending(path: file)) }

    /// The group goes, after its process has ended.
    func remove() async throws {
        try await eventually("a control group is empty") { rmdir(folder.path()) == 0 || errno == ENOENT ? true : nil }
    }

    /// The kernel wants each value in one write, into the file that is there.
    private static func write(_ value: String, to file: URL) throws {
        let handle = try FileHandle(forWritingTo: file)
        defer { try? handle.close() }
        try handle.write(contentsOf: Data(value.utf8))
    }
}
