import Foundation
import TestSupport

/// A disk of a few megabytes, in memory.
final class SmallDisk: Sendable {
    /// That of the suite that runs.
    @TaskLocal static var current: SmallDisk?

    private let folder: ScratchFolder

    private init(folder: ScratchFolder) { self.folder = folder }

    static func mount(megabytes: Int) async throws -> SmallDisk {
        try Machine.needsRoot(to: "mount a small disk")
        let folder = try ScratchFolder("disk")
        try await Machine.allowed(to: "mount a small disk") {
            try await Machine.run("mount", "-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", folder.url.path())
        }
        return SmallDisk(folder: folder)
    }

    var path: String { folder.url.path() }

    /// Takes what is free.
    func fill() throws {
        let file = folder.url.appending(path: "filler")
        try Data().write(to: file)
        let handle = try FileHandle(forWritingTo: file)
        defer { try? handle.close() }
        // In ever smaller pieces, to the last page.
        for size in [65_536, 4_096] {
            while (try? handle.write(contentsOf: Data(count: size))) != nil {}
        }
    }

    /// Gives back what ``fill()`` took.
    func free() throws { try FileManager.default.removeItem(at: folder.url.appending(path: "filler")) }

    func unmount() async {
        // Lazily: whoever still has a file open keeps it.
        _ = try? await Machine.run("umount", "-l", folder.url.path())
        folder.remove()
    }
}
