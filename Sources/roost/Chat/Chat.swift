import ChatClient
import Synchronization

/// A conversation: lines in, events out.
final class Chat: Sendable {
    private let client: any ChatService
    private let screen: ChatScreen
    private let history: Int
    private let erasesTypedLines: Bool
    private let places = Mutex(Places())
    /// A line was not sent, or a command not done.
    private let hasFailed = Mutex(false)

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

    init(client: any ChatService, screen: ChatScreen, history: Int, erasesTypedLines: Bool) {
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

    /// Reads lines to the end; true when it could not begin, or when a line of a pipe could not be done: nobody reads
    /// there what is shown.
    ///
    /// - Parameters:
    ///   - waitsForEach: send a line only after the one before is acknowledged, as is right for a pipe. Somebody at a
    ///     keyboard can go on while a message waits for a connection.
    ///   - nextLine: nil at the end.
    func talk(in rooms: [String], waitsForEach: Bool, nextLine: @Sendable () async -> String?) async -> Bool {
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
            while let line = await nextLine() {
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
        return waitsForEach && hasFailed.withLock { $0 }
    }

    private func failed(_ words: String) {
        hasFailed.withLock { $0 = true }
        OutputLines.write(screen.note(words))
    }

    private struct Post: Sendable {
        var room: String
        var text: String
    }

    private func send(_ post: Post) async {
        do {
            try await client.say(post.text, in: post.room)
        } catch is CancellationError {
            // The user has left in the meantime.
        } catch {
            failed("not sent: \(error)")
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
                failed("you are in no room; /join ROOM")
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
                failed(words)
            }
        } catch {
            failed("\(error)")
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
        let page = try await client.members(of: room, after: nil, limit: 1000)
        OutputLines.write(screen.note("\(page.count) in \(room): \(page.members.joined(separator: ", "))"))
    }
}
