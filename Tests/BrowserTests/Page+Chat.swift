import Foundation
import TestSupport

/// The words in which the stories speak about the chat page.
extension Page {
    /// Opens the page of the gateway or balancer whose WebSocket URL this is, and waits until it is connected.
    func enter(_ socketURL: String, as user: String, room: String = "general") async throws {
        try await visit("\(Self.address(socketURL))?user=\(user)#\(room)")
        try await untilIn(room, as: user)
    }

    /// The page that belongs to a WebSocket URL.
    static func address(_ socketURL: String) -> String {
        socketURL.replacing("ws://", with: "http://").replacing(/ws$/, with: "")
    }

    func untilIn(_ room: String, as user: String) async throws {
        try await until(
            "\(user) is connected and in \(room)",
            "document.documentElement.dataset.state === 'online' && (arguments[0].startsWith('@')"
                + " || document.querySelector(`#members [data-user='${arguments[1]}']`))", room, user)
    }

    func say(_ text: String) async throws {
        try await type(text + Key.enter, into: "#text")
    }

    /// Goes to a room, joining it if need be.
    func join(_ name: String) async throws {
        try await type(name + Key.enter, into: "#join-name")
        try await until(
            "the room \(name) is shown", "document.querySelector('#title').textContent === arguments[0]",
            name.hasPrefix("@") ? String(name.dropFirst()) : "# \(name)")
    }

    /// Goes to a conversation of the side bar.
    func select(_ room: String) async throws {
        try await click("[data-room='\(room)'] .go")
    }

    func untilSaid(_ text: String, by user: String) async throws {
        try await until(
            "“\(text)” by \(user) is there",
            "[...document.querySelectorAll(`.message[data-user='${arguments[1]}'] .bubble`)]"
                + ".some((bubble) => bubble.textContent === arguments[0])", text, user)
    }

    /// The texts in sight and out of it, top to bottom; only stored ones.
    func texts(by user: String? = nil) async throws -> [String] {
        let author = user.map { "[data-user='\($0)']" } ?? ""
        return try await evaluate(
            "return [...document.querySelectorAll(arguments[0])].map((bubble) => bubble.textContent)",
            ".message[data-position]\(author) .bubble")
    }

    func untilUnread(_ count: Int, in room: String) async throws {
        let badge = "document.querySelector(`[data-room='${arguments[0]}'] .badge span`)?.textContent ?? '0'"
        try await until("\(count) unread in \(room)", "(\(badge)) === arguments[1]", room, String(count))
    }

    func untilMembers(are users: [String]) async throws {
        try await until(
            "the members are \(users)",
            "[...document.querySelectorAll('#members li')].map((line) => line.dataset.user).sort().join() === arguments[0]",
            users.sorted().joined(separator: ","))
    }

    func untilTyping(is line: String) async throws {
        try await until(
            "the typing line says “\(line)”",
            "document.querySelector('#typing').textContent === arguments[0]", line)
    }

    /// The node that the page is connected to.
    func node() async throws -> String {
        try await evaluate("return document.documentElement.dataset.node")
    }
}
