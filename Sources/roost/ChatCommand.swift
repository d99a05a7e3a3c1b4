import ArgumentParser
import ChatClient
import Synchronization

/// `roost chat`: a terminal client.
struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Chat from a terminal.",
        discussion: """
            Every line goes to the current room; lines that begin with / are commands (/help). With standard input \
            from a pipe each line is sent, and the command ends when all of them are acknowledged.
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
        let isRefused = await withTaskGroup(of: Bool.self) { group in
            group.addTask { await chat.show(events) }
            group.addTask { await chat.talk(in: room, waitsForEach: !InputLines.isTerminal) }
            // Whichever ends first: the input, or the client that has given up.
            let isRefused = await group.next() ?? false
            await client.close()
            group.cancelAll()
            return isRefused
        }
        if isRefused { throw ExitCode.failure }
    }
}

/// A conversation: lines in, events out.
private final class Chat: Sendable {
    private let client: ChatClient
    private let screen: ChatScreen
    private let history: Int
    private let erasesTypedLines: Bool
    private let places = Mutex(Places())

    /// The rooms that the user is in, and the one that is talked in.
    private struct Places {
        var rooms: [String] = []
        var current: String?

        mutating func enter(_ room: String) {
            if !rooms.contains(room) { rooms.append(room) }
            current = room
        }

        mutating func leave(_ room: String) {
            rooms.removeAll { $0 == room }
            if current == room { current = rooms.last }
        }
    }

    init(client: ChatClient, screen: ChatScreen, history: Int, erasesTypedLines: Bool) {
        self.client = client
        self.screen = screen
        self.history = history
        self.erasesTypedLines = erasesTypedLines
    }

    private var current: String? { places.withLock { $0.current } }

    /// Shows events to the last; true when the client has given up.
    func show(_ events: ClientEvents) async -> Bool {
        var hasGivenUp = false
        for await event in events {
            if case .disconnected(_, nil) = event { hasGivenUp = true }
            if case .left(let room, .some) = event { places.withLock { $0.leave(room) } }
            if let line = screen.line(for: event, in: current) { OutputLines.write(line) }
        }
        return hasGivenUp
    }

    /// Reads lines to the end; true when it could not begin.
    ///
    /// - Parameter waitsForEach: send a line only after the one before is acknowledged, as is right for a pipe.
    ///   Somebody at a keyboard can go on while a message waits for a connection.
    func talk(in rooms: [String], waitsForEach: Bool) async -> Bool {
        // Its failure is an event, and shown as one.
        guard (try? await client.connect()) != nil else { return true }
        do {
            for room in rooms.reversed() { try await join(room) }
        } catch {
            OutputLines.write(screen.note("\(error)"))
            return true
        }
        let (posts, queue) = AsyncStream.makeStream(of: Post.self)
        await withTaskGroup { group in
            group.addTask { for await post in posts { await self.send(post) } }
            let input = InputLines()
            while let line = await input.next() {
                let meaning = ChatInput(line)
                if meaning == .quit { break }
                guard let post = await act(on: meaning) else { continue }
                if erasesTypedLines { OutputLines.write(screen.eraseTypedLine, terminator: "") }
                if waitsForEach { await send(post) } else { queue.yield(post) }
            }
            queue.finish()
            // Somebody who leaves while there is no connection does not wait for one.
            group.addTask { try? await Task.sleep(for: .seconds(2)) }
            await group.next()
            group.cancelAll()
        }
        return false
    }

    private struct Post: Sendable {
        var room: String
        var text: String
    }

    private func send(_ post: Post) async {
        do {
            try await client.send(text: post.text, to: post.room)
        } catch is CancellationError {
            // The user has left in the meantime.
        } catch {
            OutputLines.write(screen.note("not sent: \(error)"))
        }
    }

    /// Does what a line asks for; what is to be sent is the answer.
    private func act(on input: ChatInput) async -> Post? {
        do {
            switch input {
            case .nothing, .quit:
                break
            case .say(let text):
                if let current { return Post(room: current, text: text) }
                OutputLines.write(screen.note("you are in no room; /join ROOM"))
            case .message(let user, let text):
                return Post(room: "@\(user)", text: text)
            case .join(let room):
                try await join(room)
            case .leave(let room):
                if let room = room ?? current {
                    try await client.leave(room)
                    places.withLock { $0.leave(room) }
                }
            case .rooms:
                let (rooms, current) = places.withLock { ($0.rooms, $0.current) }
                for room in rooms { OutputLines.write(screen.note(room == current ? "\(room) (here)" : room)) }
            case .who(let room):
                if let room = room ?? current { try await showMembers(of: room) }
            case .history(let count):
                guard let current else { break }
                for message in try await client.history(of: current, limit: count).messages {
                    OutputLines.write(screen.line(for: message, in: current))
                }
            case .help:
                OutputLines.write(ChatInput.commands)
            case .wrong(let words):
                OutputLines.write(screen.note(words))
            }
        } catch {
            OutputLines.write(screen.note("\(error)"))
        }
        return nil
    }

    private func join(_ room: String) async throws {
        let isNew = places.withLock { !$0.rooms.contains(room) }
        if isNew {
            let joined = try await client.join(room, history: history)
            OutputLines.write(screen.note("in \(room) with \(joined.count) \(joined.count == 1 ? "user" : "users")"))
        }
        places.withLock { $0.enter(room) }
    }

    private func showMembers(of room: String) async throws {
        let page = try await client.members(of: room, limit: 1000)
        OutputLines.write(screen.note("\(page.count) in \(room): \(page.members.joined(separator: ", "))"))
    }
}
