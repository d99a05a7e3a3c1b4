import TestSupport

/// A cluster of three nodes and a chromedriver.
func withCluster(_ story: (Cluster, ChromeDriver) async throws -> Void) async throws {
    try await Cluster.run(nodes: 3) { cluster in
        try await ChromeDriver.run { chrome in try await story(cluster, chrome) }
    }
}

/// Alice on the first node and Bob on the second, both in `general`.
func withTwoPeople(_ story: (Cluster, Page, Page) async throws -> Void) async throws {
    try await withCluster { cluster, chrome in
        let alice = try await chrome.page()
        let bob = try await chrome.page()
        try await alice.enter(cluster.nodes[0].url, as: "alice")
        try await bob.enter(cluster.nodes[1].url, as: "bob")
        try await story(cluster, alice, bob)
    }
}
