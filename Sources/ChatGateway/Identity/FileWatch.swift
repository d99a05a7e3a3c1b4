import Foundation

/// Notices that files were replaced or written to, by looking at them: that works for every kind of file system, and for
/// the links that orchestrators swap.
struct FileWatch: Sendable {
    private struct Mark: Equatable {
        var modified: Date?
        var size: Int?
        var number: Int?
    }

    let paths: [String]
    var interval: Duration = .seconds(1)

    /// Calls back after every change, until the task is cancelled.
    func run(_ changed: @Sendable () async -> Void) async {
        var known = paths.map(mark)
        while (try? await Task.sleep(for: interval)) != nil {
            let now = paths.map(mark)
            guard now != known else { continue }
            known = now
            await changed()
        }
    }

    /// Of what a link points to.
    private func mark(_ path: String) -> Mark {
        let target = URL(filePath: path).resolvingSymlinksInPath().path()
        let attributes = try? FileManager.default.attributesOfItem(atPath: target)
        return Mark(
            modified: attributes?[.modificationDate] as? Date, size: attributes?[.size] as? Int,
            number: attributes?[.systemFileNumber] as? Int)
    }
}
