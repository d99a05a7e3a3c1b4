import Foundation
import FuzzTargets
import Testing

/// Everything that fuzzing found worth keeping, and every crash that it ever found.
@Suite("Fuzzing's corpus")
struct CorpusTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../Fuzz/Corpus")

    @Test("Every input that was kept is taken without a trap", arguments: FuzzTargets.all.map(\.name))
    func replay(_ name: String) async throws {
        let target = try #require(try await FuzzTargets.make(name))
        let lines = try String(contentsOf: Self.folder.appending(path: "\(name).txt"), encoding: .utf8)
            .split(separator: "\n")
        #expect(lines.count > 10)
        for line in lines {
            let input = try #require(Data(base64Encoded: String(line)), "\(line)")
            target.check(Array(input))
        }
    }
}
