import Foundation
import TestSupport
import Testing

/// Rows limit what gateways may use on machines of either kind; one machine has but one of them.
@Suite("Control groups of both versions")
struct ControlHierarchyTests {
    private static let first = """
        tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
        cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
        cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
        """
    private static let second = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0"

    private func find(
        _ controller: ControlHierarchy.Controller, _ mounts: String, controllers: String
    ) throws -> ControlHierarchy {
        try ControlHierarchy.find(controller, mounts: mounts) { file in
            file.path().hasSuffix("cgroup.controllers") ? controllers : nil
        }
    }

    @Test func eachControllerOfVersionOneHasItsOwnHierarchy() throws {
        let processor = try find(.cpu, Self.first, controllers: "")
        #expect(processor.version == .one)
        #expect(processor.root.path() == "/sys/fs/cgroup/cpu,cpuacct/")
        #expect(try find(.memory, Self.first, controllers: "").root.path() == "/sys/fs/cgroup/memory/")
    }

    @Test func versionTwoHasOneForAll() throws {
        let memory = try find(.memory, Self.second, controllers: "cpuset cpu io memory pids\n")
        #expect(memory.version == .two)
        #expect(memory.root.path() == "/sys/fs/cgroup/")
    }

    @Test func aMachineOfBothHasAControllerInOneOfThem() throws {
        let lines = Self.first.split(separator: "\n")
        let both = [lines[0], lines[2], lines[3]].joined(separator: "\n")
        #expect(try find(.memory, both, controllers: "cpu").version == .one)
        let processor = try find(.cpu, both, controllers: "cpu")
        #expect(processor.version == .two)
        #expect(processor.root.path() == "/sys/fs/cgroup/unified/")
    }

    @Test func whereNeitherHasItOneIsToldWhatToDo() {
        #expect { try find(.memory, Self.second, controllers: "cpu") } throws: { error in
            "\(error)".contains("'memory'") && "\(error)".contains("mount -t cgroup2")
        }
    }

    @Test func limitsAreWrittenAsEachVersionWantsThem() {
        func settings(_ version: ControlHierarchy.Version, _ limit: ControlHierarchy.Limit) -> [String] {
            version.settings(for: limit).map { "\($0.file) \($0.value)" }
        }
        #expect(settings(.one, .processor(percent: 15)) == ["cpu.cfs_period_us 100000", "cpu.cfs_quota_us 15000"])
        #expect(settings(.one, .processor(percent: nil)) == ["cpu.cfs_period_us 100000", "cpu.cfs_quota_us -1"])
        #expect(settings(.two, .processor(percent: 15)) == ["cpu.max 15000 100000"])
        #expect(settings(.two, .processor(percent: nil)) == ["cpu.max max 100000"])
        #expect(settings(.one, .memory(bytes: 4096)) == ["memory.limit_in_bytes 4096"])
        #expect(settings(.two, .memory(bytes: 4096)) == ["memory.max 4096"])
    }
}
