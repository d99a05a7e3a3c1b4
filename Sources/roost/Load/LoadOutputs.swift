import ArgumentParser
import FoundationEssentials
import LoadTest

/// Where a report goes besides the terminal.
struct LoadOutputs: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Write everything that was found to a file; roost load merge puts such files together.", valueName: "file"))
    var json: String?

    @Option(
        help: ArgumentHelp(
            "Write one page with plots and tables, which needs nothing else, for somebody who was not there.",
            valueName: "file.html"))
    var report: String?

    /// Shows the report and writes the files.
    ///
    /// - Throws: the exit code 1 when a promise was broken, 2 when a file cannot be written.
    func write(_ found: LoadReport) throws {
        OutputLines.write(found.table)
        if let json { try write(found.json(), to: json) }
        if let report { try write(ReportPage(found).html, to: report) }
        if !found.isClean { throw ExitCode.failure }
    }

    private func write(_ text: String, to path: String) throws {
        do {
            try Data(text.utf8).write(to: URL(filePath: path))
        } catch {
            OutputLines.write("error: cannot write \(path): \(error)")
            throw ExitCode(2)
        }
    }
}
