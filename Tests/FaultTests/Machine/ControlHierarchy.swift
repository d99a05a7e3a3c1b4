import Foundation
import TestSupport

/// Where the kernel takes limits of one kind: version 1 has a hierarchy for each controller, version 2 one for all
/// (cgroups(7)). A machine may have both, with each controller in one of them.
struct ControlHierarchy: Equatable {
    enum Controller: String {
        case cpu, memory
    }

    enum Limit {
        /// Percent of one processor; nil: no limit.
        case processor(percent: Int?)
        case memory(bytes: Int)
    }

    enum Version: Equatable {
        case one, two
    }

    let version: Version
    let controller: Controller
    /// The group that stands above all others.
    let root: URL

    /// - Parameters:
    ///   - mounts: as in proc(5), /proc/mounts.
    ///   - controllers: what the file `cgroup.controllers` of a hierarchy of version 2 says.
    /// - Throws: ``ProgramFailure`` when the controller is in neither.
    static func find(
        _ controller: Controller, mounts: String? = nil,
        controllers: (URL) -> String? = { try? String(contentsOf: $0, encoding: .utf8) }
    ) throws -> ControlHierarchy {
        let mounts = try mounts ?? String(contentsOfFile: "/proc/mounts", encoding: .utf8)
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count >= 4 else { continue }
            let root = URL(filePath: String(fields[1]), directoryHint: .isDirectory)
            switch fields[2] {
            case "cgroup" where fields[3].split(separator: ",").contains(Substring(controller.rawValue)):
                return ControlHierarchy(version: .one, controller: controller, root: root)
            case "cgroup2":
                let there = controllers(root.appending(path: "cgroup.controllers")) ?? ""
                guard there.split(whereSeparator: \.isWhitespace).contains(Substring(controller.rawValue)) else {
                    continue
                }
                return ControlHierarchy(version: .two, controller: controller, root: root)
            default: continue
            }
        }
        throw ProgramFailure(
            description: """
                this machine has no control groups for '\(controller.rawValue)' of either version. With a new kernel: \
                `mount -t cgroup2 cgroup2 /sys/fs/cgroup`. In a container: start it with `--privileged`, so that \
                /sys/fs/cgroup is there and can be written to
                """)
    }

    /// In version 2 a group has the files of a controller only when the one above hands it down.
    func prepare() throws {
        guard version == .two else { return }
        let file = root.appending(path: "cgroup.subtree_control")
        let handedDown = try String(contentsOf: file, encoding: .utf8).split(whereSeparator: \.isWhitespace)
        guard !handedDown.contains(Substring(controller.rawValue)) else { return }
        do {
            try Self.write("+\(controller.rawValue)", to: file)
        } catch {
            throw ProgramFailure(
                description: """
                    \(root.path()) does not hand '\(controller.rawValue)' down: \(error). Where processes stand in that \
                    group itself, as in a container, move them into one below it: `mkdir \(root.path())init && for p in \
                    $(cat \(root.path())cgroup.procs); do echo $p > \(root.path())init/cgroup.procs; done`
                    """)
        }
    }

    /// The kernel wants each value in one write, into the file that is there.
    static func write(_ value: String, to file: URL) throws {
        let handle = try FileHandle(forWritingTo: file)
        defer { try? handle.close() }
        try handle.write(contentsOf: Data(value.utf8))
    }
}

extension ControlHierarchy.Version {
    /// The files of a group that are written, and what into them.
    func settings(for limit: ControlHierarchy.Limit) -> [(file: String, value: String)] {
        switch (self, limit) {
        case (.one, .processor(let percent)):
            [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", percent.map { "\($0 * 1_000)" } ?? "-1")]
        case (.two, .processor(let percent)): [("cpu.max", "\(percent.map { "\($0 * 1_000)" } ?? "max") 100000")]
        case (.one, .memory(let bytes)): [("memory.limit_in_bytes", "\(bytes)")]
        case (.two, .memory(let bytes)): [("memory.max", "\(bytes)")]
        }
    }

    var peakMemoryFile: String {
        switch self {
        case .one: "memory.max_usage_in_bytes"
        case .two: "memory.peak"
        }
    }
}
