import TestSupport
import Testing

@Suite(.serialized)
struct IdentityStories {
    private static let secret = "a secret of more than thirty-two bytes"

    private func token(_ user: String, in cluster: Cluster) async throws -> String {
        let command = try GatewayProcess.command(
            ["token", "--user", user], environment: ["ROOST_AUTH_SECRET": Self.secret], folder: cluster.folder)
        try #require(await command.end() == .exited(0))
        return command.output.split(separator: "\n").joined()
    }

    @Test("A sign-in link brings its user in, and leaves the address; without a token the page asks for one")
    func signIn() async throws {
        try await Cluster.run(nodes: 1, arguments: ["--auth-secret", Self.secret]) { cluster in
            try await ChromeDriver.run { chrome in
                let alices = try await token("alice", in: cluster)
                let page = try await chrome.page()
                let address = Page.address(cluster.nodes[0].url)
                try await page.visit("\(address)#token=\(alices)")
                try await page.untilIn("general", as: "alice")
                #expect(try await page.evaluate("return location.href.includes('token')", as: Bool.self) == false)
                try await page.reload()
                try await page.untilIn("general", as: "alice")

                let other = try await chrome.page()
                try await other.visit(address)
                try await other.until("a token is asked for", "!document.querySelector('#token-form').hidden")
                try await other.type("nonsense" + Key.enter, into: "#token")
                try await other.until("it is refused", "!document.querySelector('#token-error').hidden")
                try await other.run("document.querySelector('#token').value = ''")
                try await other.type(try await token("bob", in: cluster) + Key.enter, into: "#token")
                try await other.untilIn("general", as: "bob")
                #expect(try await page.log() == [])
                #expect(try await other.log() == [])
            }
        }
    }
}
