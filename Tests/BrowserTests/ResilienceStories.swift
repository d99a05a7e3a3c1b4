import TestSupport
import Testing

/// Nodes go; the people in front of the balancer need not notice.
@Suite(.serialized)
struct ResilienceStories {
    @Test("When her node is killed, Alice goes on on another one, and what was said meanwhile is there once")
    func killedNode() async throws {
        try await withPeopleApart { alices, alice, bob in
            try await alice.say("before")
            try await bob.untilSaid("before", by: "alice")
            await alices.kill()
            for number in 1...5 { try await bob.say("meanwhile \(number)") }
            try await alice.say("after")
            try await bob.untilSaid("after", by: "alice")
            try await alice.untilSaid("meanwhile 5", by: "bob")
            try await alice.until("all is acknowledged", "!document.querySelector('.pending')")
            #expect(try await alice.node() != alices.node)
            #expect(try await alice.texts().sorted() == ["after", "before"] + (1...5).map { "meanwhile \($0)" })
            #expect(try await alice.texts() == (try await bob.texts()))
            try await alice.untilMembers(are: ["alice", "bob"])
            try await bob.untilMembers(are: ["alice", "bob"])
        }
    }

    @Test("When her node is drained, Alice moves without a word: nothing is lost, nobody sees her go")
    func drainedNode() async throws {
        try await withPeopleApart { alices, alice, bob in
            try await bob.untilMembers(are: ["alice", "bob"])
            try await alice.run(
                """
                window.states = new Set();
                new MutationObserver(() => states.add(document.documentElement.dataset.state))
                  .observe(document.documentElement, { attributes: true });
                """)
            alices.terminate()
            var said: [String] = []
            try await eventually("Alice has moved") {
                said.append("line \(said.count + 1)")
                try await bob.say(said[said.count - 1])
                let node = try await alice.node()
                return node != "" && node != alices.node ? true : nil
            }
            try await alice.say("I am still here")
            try await bob.untilSaid("I am still here", by: "alice")
            try await alice.untilSaid(said[said.count - 1], by: "bob")
            #expect(try await alice.texts(by: "bob") == said)
            #expect(try await alice.evaluate("return [...states]", as: [String].self) == ["online"])
            let notices: [String] = try await bob.evaluate(
                "return [...document.querySelectorAll('.notice')].map((line) => line.textContent)")
            #expect(notices.allSatisfy { !$0.contains("alice left") })
        }
    }

    @Test("Without any node the page says so, keeps what is written, and sends it when one is back")
    func nobodyThere() async throws {
        try await Cluster.run(nodes: 1) { cluster in
            try await ChromeDriver.run { chrome in
                let alice = try await chrome.page()
                try await alice.enter(cluster.balancerURL, as: "alice")
                await cluster.nodes[0].kill()
                try await alice.until("the page says so", "!document.querySelector('#banner').hidden")
                try await alice.say("written in the dark")
                try await alice.until("it waits", "document.querySelector('.own.pending')")
                try await cluster.nodes[0].restart()
                try await eventually("it is stored") {
                    let isPending: Bool = try await alice.evaluate(
                        "document.querySelector('#retry-now').click(); return !!document.querySelector('.pending')")
                    return isPending ? nil : true
                }
                #expect(try await alice.texts() == ["written in the dark"])
                try await alice.until("all is well", "document.querySelector('#banner').hidden")
            }
        }
    }

    /// Alice before the balancer, Bob on another node than the one that she came to.
    private func withPeopleApart(_ story: (GatewayProcess, Page, Page) async throws -> Void) async throws {
        try await withCluster { cluster, chrome in
            let alice = try await chrome.page()
            try await alice.enter(cluster.balancerURL, as: "alice")
            let node = try await alice.node()
            let alices = try #require(cluster.nodes.first { $0.node == node })
            let other = try #require(cluster.nodes.first { $0.node != node })
            let bob = try await chrome.page()
            try await bob.enter(other.url, as: "bob")
            try await story(alices, alice, bob)
        }
    }
}
