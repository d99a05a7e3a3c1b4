import ChatProtocol
import Testing

@testable import ChatClient

@Suite("Server addresses")
struct ServerAddressTests {
    @Test(
        "A URL says where to connect and what to ask for",
        arguments: [
            ("ws://localhost:8080/ws", "localhost", 8080, "/ws", "localhost:8080"),
            ("ws://localhost", "localhost", 80, "/ws", "localhost"),
            ("wss://chat.example/", "chat.example", 443, "/ws", "chat.example"),
            ("WSS://chat.example:444/a/b?x=1", "chat.example", 444, "/a/b?x=1", "chat.example:444"),
            ("ws://[::1]:9/ws", "::1", 9, "/ws", "[::1]:9"), ("ws://h?x=1", "h", 80, "/ws?x=1", "h"),
        ])
    func parsed(url: String, host: String, port: Int, target: String, authority: String) throws {
        let address = try ServerAddress(url)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.target == target)
        #expect(address.authority == authority)
    }

    @Test(
        "What is no URL for a chat is refused with words",
        arguments: [
            "", "localhost:8080", "http://localhost/ws", "ws://", "ws://:80/ws", "ws://h:0/ws", "ws://h:99999/ws",
            "ws://a@h/ws", "ws://[::1/ws", "ws://[::1]x/ws", "ws://h/w s", "ws://h/ws#x", "ws://h/\r\nX: y",
        ])
    func refused(url: String) {
        #expect { try ServerAddress(url) } throws: { ($0 as? ChatClientError)?.code == .invalidAddress }
    }

    @Test("User and echo join the query that is there")
    func query() throws {
        let address = try ServerAddress("ws://h/ws?x=1")
        let user = try #require(UserName("alice"))
        #expect(address.target(user: user, echo: true) == "/ws?x=1&user=alice")
        #expect(try ServerAddress("ws://h").target(user: user, echo: false) == "/ws?user=alice&echo=false")
        #expect(try ServerAddress("ws://h").target(user: nil, echo: true) == "/ws")
    }

    @Test("What is shown of an address has no query, which may hold a token")
    func noSecrets() throws {
        #expect(try ServerAddress("ws://h:81/ws?token=secret").description == "ws://h:81/ws")
    }

    @Test("Headers, tokens and users that cannot be sent are refused before anything is")
    func configuration() {
        var configuration = ChatClient.Configuration(urls: ["ws://h"], user: "not a user")
        #expect { try configuration.connectionOptions() } throws: { ($0 as? ChatClientError)?.code == .invalidName }
        configuration.user = nil
        configuration.token = "a b"
        #expect { try configuration.connectionOptions() } throws: { ($0 as? ChatClientError)?.code == .invalidHeader }
        configuration.token = nil
        configuration.headers = [("X-A", "a\r\nX-B: b")]
        #expect { try configuration.connectionOptions() } throws: { ($0 as? ChatClientError)?.code == .invalidHeader }
        #expect { try ChatClient.Configuration(urls: []).addresses() } throws: {
            ($0 as? ChatClientError)?.code == .invalidAddress
        }
    }
}
