import ArgumentParser
import FoundationEssentials
import LoadTest

/// `roost load merge`: one report of several processes.
struct LoadMergeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Put the reports of load tests together that ran at the same time.",
        discussion: """
            A process has no more connections than descriptors. Start several, each with --json FILE, and let this make \
            one report of the files. Exits as roost load does.
            """)

    @Argument(help: "Files that roost load --json wrote.")
    var files: [String]

    @OptionGroup var outputs: LoadOutputs

    func run() async throws {
        let parts = try files.map { file in
            do {
                return try LoadReport(json: Data(contentsOf: URL(filePath: file)))
            } catch {
                throw ValidationError("\(file) is no report of roost load --json: \(error)")
            }
        }
        do {
            try outputs.write(LoadReport.merge(parts))
        } catch let error as InvalidPlan {
            throw ValidationError(error.message)
        }
    }
}
