import Foundation
import Testing

@testable import roost

@Suite("README")
struct ReadmeTests {
    private static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func text(of file: String) throws -> String {
        try String(contentsOf: Self.folder.appending(path: file), encoding: .utf8)
    }

    @Test("Its table of settings is the program's; when it is not, put in what this test shows")
    func configurationTable() throws {
        let rows = Setting.all.map { setting in
            "| `\(setting.name)` | \(cell(setting.summary)) | \(cell(setting.accepted)) | \(cell(setting.defaultText)) |"
        }
        let table = (["| setting | what | must be | default |", "|---|---|---|---|"] + rows).joined(separator: "\n")
        #expect(try text(of: "README.md").contains("\n\n\(table)\n\n"), "\(table)")
    }

    @Test("Its map names every module that the package has")
    func modules() throws {
        let readme = try text(of: "README.md")
        for module in try FileManager.default.contentsOfDirectory(atPath: Self.folder.appending(path: "Sources").path())
        where !module.hasPrefix(".") {
            #expect(readme.contains("| `\(module)` |"), "\(module)")
        }
    }

    @Test("Each attack in its table is held against gateways by tests that there are, or is said not to be defended")
    func attacks() throws {
        let tests = try Self.tests()
        let sections = try text(of: "README.md").components(separatedBy: "\n## ")
        let section = try #require(sections.first { $0.hasPrefix("Security\n") })
        let rows = section.split(separator: "\n").map { $0.components(separatedBy: " | ") }
        let table = rows.drop { $0.last != "shown by |" }.dropFirst(2).prefix { $0.count == 3 }
        #expect(table.count >= 36)
        for row in table {
            let names = row[2].split(separator: "`", omittingEmptySubsequences: false).enumerated()
                .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
            #expect(!names.isEmpty || row[1].contains("not defended"), "\(row[0])")
            let unknown = names.filter { !tests.contains($0) }
            #expect(unknown == [], "\(row[0])")
        }
    }

    /// `SUITE.FUNCTION` of every test in the sources.
    private static func tests() throws -> Set<String> {
        let folder = folder.appending(path: "Tests")
        var tests: Set<String> = []
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path()) where path.hasSuffix(".swift") {
            var suite: Substring = ""
            var isTest = false
            for line in try String(contentsOf: folder.appending(path: path), encoding: .utf8).split(separator: "\n") {
                let words = line.split(separator: " ")
                if words.count > 2, words[0] == "struct" || words[0] == "extension" {
                    let name = words[1].split(separator: ".").last ?? ""
                    // Not a type that helps within a suite.
                    if ["Tests", "Stories", "OneRedis"].contains(where: name.hasSuffix) { suite = name }
                }
                isTest = isTest || words.first?.hasPrefix("@Test") == true
                if isTest, let name = line.firstRange(of: "func ") {
                    isTest = false
                    tests.insert("\(suite).\(line[name.upperBound...].prefix { $0 != "(" }.filter { $0 != "`" })")
                }
            }
        }
        return tests
    }

    private func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }
}
