import ArgumentParser

/// `roost load`: many clients on many nodes, and proof of what they received.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Load a cluster, and prove what was delivered.",
        discussion: """
            roost load --url ws://HOST:PORT/ws, or roost load --scenario node-kill; roost load run --help lists all flags.
            """,
        subcommands: [LoadRunCommand.self, LoadMergeCommand.self], defaultSubcommand: LoadRunCommand.self)
}
