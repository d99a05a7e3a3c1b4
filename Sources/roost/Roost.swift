import ArgumentParser

@main
struct Roost: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "roost",
        abstract: "A chat cluster: identical gateways that share rooms through Redis.",
        subcommands: [
            ServeCommand.self, ChatCommand.self, LoadCommand.self, PlanCommand.self, TokenCommand.self,
        ])
}
