import ArgumentParser

/// `roost load`: many clients on many nodes, and proof of what they received.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Load a cluster, and prove what was delivered.",
        subcommands: [LoadRunCommand.self, LoadMergeCommand.self], defaultSubcommand: LoadRunCommand.self)
}
