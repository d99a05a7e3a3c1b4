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

    private func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }
}
