import Foundation
import TestSupport

/// Limits what one process may use of the machine until it ends: a control group of its own, of whichever version the
/// machine has.
struct ControlGroup {
    private let hierarchy: ControlHierarchy
    private let folder: URL

    /// - Throws: a message that says what is missing, and what to do.
    init(_ controller: ControlHierarchy.Controller, of process: Int32) throws {
        try Machine.needsRoot(to: "limit what a gateway may use")
        hierarchy = try ControlHierarchy.find(controller)
        try hierarchy.prepare()
        folder = hierarchy.root.appending(path: "roost-faults-\(process)")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try ControlHierarchy.write("\(process)", to: folder.appending(path: "cgroup.procs"))
        } catch {
            rmdir(folder.path())
            throw ProgramFailure(
                description:
                    "no control group can be made in \(hierarchy.root.path()), which must be writable: \(error)")
        }
    }

    func limit(_ limit: ControlHierarchy.Limit) throws {
        for (file, value) in hierarchy.version.settings(for: limit) {
            try ControlHierarchy.write(value, to: folder.appending(path: file))
        }
    }

    /// The most memory that the process had at a time since it came into the group, in bytes.
    func peakMemory() throws -> Int {
        let text = try String(
            contentsOf: folder.appending(path: hierarchy.version.peakMemoryFile), encoding: .utf8)
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    /// The group goes, after its process has ended.
    func remove() async throws {
        try await eventually("a control group is empty") { rmdir(folder.path()) == 0 || errno == ENOENT ? true : nil }
    }
}
