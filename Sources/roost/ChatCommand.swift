import ArgumentParser
import ChatClient

/// `roost chat`: a terminal client.
struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Chat from a terminal.",
        discussion: """
            Every line goes to the current room; lines that begin with / are commands (/help). With standard input \
            from a pipe each line is sent, and the command ends when all of them are acknowledged, with 1 when a line \
            could not be done.
            """)

    @Argument(help: "Nodes or load balancers, ws://HOST:PORT/ws. Any of them serves; the next is tried when one fails.")
    var urls: [String]

    @Option(name: .shortAndLong, help: "A room to join; may be repeated. The first one is where you talk.")
    var room: [String] = ["general"]

    @Option(name: .shortAndLong, help: "Your name, where the server runs without authentication.")
    var user: String?

    @Option(help: "A token, where the server asks for one.")
    var token: String?

    @Option(help: "How many of the latest messages to show on joining, 0 to 1000.")
    var history = 20

    func validate() throws {
        guard (0...1000).contains(history) else {
            throw ValidationError("--history: \(history) is not within 0 to 1000")
        }
        guard user != nil || token != nil else { throw ValidationError("--user or --token is needed") }
        do {
            _ = try ChatClient(configuration)
        } catch let error as ChatClientError {
            throw ValidationError(error.message)
        }
    }

    private var configuration: ChatClient.Configuration {
        ChatClient.Configuration(urls: urls, user: user, token: token)
    }

    func run() async throws {
        let client = try ChatClient(configuration)
        let isTerminal = OutputLines.isTerminal
        let chat = Chat(
            client: client, screen: ChatScreen(isTerminal: isTerminal, user: user ?? ""), history: history,
            erasesTypedLines: isTerminal && InputLines.isTerminal)
        let events = client.events
        let hasFailed = await withTaskGroup(of: Bool.self) { group in
            group.addTask { await chat.show(events) }
            group.addTask {
                let input = InputLines()
                return await chat.talk(in: room, waitsForEach: !InputLines.isTerminal) { await input.next() }
            }
            // Whichever ends first: the input, or the client that has given up.
            let hasFailed = await group.next() ?? false
            await client.close()
            group.cancelAll()
            return hasFailed
        }
        if hasFailed { throw ExitCode.failure }
    }
}
