import Foundation
import TestSupport
import Testing

@Suite(.serialized)
struct CompressionStories {
    @Test("Browsers agree to compression by themselves, and people read what was said, long or short")
    func longTexts() async throws {
        try await Cluster.run(nodes: 2, arguments: ["--compression"]) { cluster in
            try await ChromeDriver.run { chrome in
                let alice = try await chrome.page()
                let bob = try await chrome.page()
                try await alice.enter(cluster.nodes[0].url, as: "alice")
                try await bob.enter(cluster.nodes[1].url, as: "bob")
                let agreed = try await alice.evaluateAsync(
                    """
                    const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws?user=carol");
                    await new Promise((done) => { socket.onopen = done; });
                    const extensions = socket.extensions;
                    socket.close();
                    return [extensions];
                    """, as: [String].self)
                #expect(agreed.first?.contains("server_no_context_takeover") == true, "\(agreed)")
                let text = String(repeating: "Tauben, Schwäne, 白鳥 and so on. ", count: 20)
                    .trimmingCharacters(in: .whitespaces)
                try await alice.say(text)
                try await bob.untilSaid(text, by: "alice")
                try await bob.say("short")
                try await alice.untilSaid("short", by: "bob")
                // What was before comes compressed as one long answer, or message by message.
                try await bob.reload()
                try await bob.untilSaid(text, by: "alice")
                for page in [alice, bob] { #expect(try await page.log() == []) }
            }
        }
    }
}
