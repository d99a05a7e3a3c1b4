import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

/// Stores that are replaced while some nodes, or some of a node's connections, still are with the one before. All of these
/// were found by random schedules.
@Suite("Histories that part")
struct PartedHistoryTests {
    private func posted(_ texts: [String], from client: SimulatedClient, in cluster: SimulatedCluster) {
        for text in texts {
            cluster.post(text, from: client)
            cluster.run()
        }
    }

    private func reconnect(_ node: Int, link: Int, in cluster: SimulatedCluster) {
        cluster.reconnect(cluster.nodes[node].broker.links[link])
    }

    /// The node has compared the room with the new store, and found nothing missing, when the old one brings a message
    /// that the new one will never have.
    @Test func whatTheOldStoreBringsAfterTheComparisonIsGivenBackToo() throws {
        let cluster = try SimulatedCluster()
        let alice = SimulatedClient("alice")
        cluster.connect(alice)
        cluster.run()
        posted(["1"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 0)
        // Only what the directory asks goes to the new store.
        reconnect(0, link: 0, in: cluster)
        cluster.run()
        posted(["2"], from: alice, in: cluster)
        #expect(alice.texts == ["1", "2"])
        cluster.reconnectAll()
        cluster.advance(by: .seconds(3))
        posted(["3"], from: alice, in: cluster)
        #expect(cluster.texts == ["1", "2", "3"])
        #expect(alice.texts == ["1", "2", "3"])
    }

    /// The first node stores one more message in the first store while the second node is with the second one already, of
    /// whose own epoch it holds nothing. Then both come to a third store.
    @Test func whoKnowsNotHowFarAnEpochWentIsNotTakenBackTooLittle() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.run()
        posted(["1"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 0)
        cluster.postElsewhere("other")
        cluster.reconnect(1)
        cluster.connect(bob, node: 1, history: 5)
        cluster.run()
        #expect(bob.texts == ["1", "other"])
        posted(["2"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 1)
        cluster.reconnect(0)
        cluster.advance(by: .seconds(3))
        cluster.reconnect(1)
        cluster.advance(by: .seconds(3))
        #expect(cluster.texts == ["1", "2"])
        #expect(alice.texts == ["1", "2"])
        #expect(bob.texts == ["1", "2"])
    }

    /// The second node has seen the second store go on and move a message; the first one has not. Both give back to a third.
    @Test func aMessageThatOneStoreHasMovedIsNotGivenBackInBothPlaces() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob, node: 1)
        cluster.run()
        posted(["1", "2"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 1)
        cluster.postElsewhere("other")
        cluster.reconnect(1)
        cluster.advance(by: .seconds(3))
        #expect(alice.texts == ["1", "2"])
        #expect(bob.texts == ["1", "other", "2"])
        cluster.replaceStore(lacking: 2)
        cluster.reconnect(0)
        cluster.run()
        cluster.reconnect(1)
        cluster.advance(by: .seconds(3))
        #expect(cluster.texts == ["1", "2", "other"])
        #expect(alice.texts == ["1", "2", "other"])
        #expect(bob.texts == ["1", "2", "other"])
    }

    /// The latest of what the node holds would follow the new store's log, what came before it would not.
    @Test func whatWasLostBeforeTheLastEpochIsGivenBackWithIt() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.run()
        posted(["1", "2", "3"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 2)
        cluster.postElsewhere("other")
        // A node that has seen the new store writes to the old one, in an epoch beyond that of the new one.
        reconnect(1, link: 0, in: cluster)
        cluster.connect(bob, node: 1)
        cluster.run()
        posted(["4"], from: bob, in: cluster)
        #expect(alice.texts == ["1", "2", "3", "4"])
        cluster.reconnectAll()
        cluster.advance(by: .seconds(3))
        #expect(cluster.texts == ["1", "other", "2", "3", "4"])
        #expect(alice.texts == ["1", "other", "2", "3", "4"])
    }

    /// Its socket holds a message that is void by the time that it is read.
    @Test func whoJoinsAgainBehindWhatItsSocketHoldsIsToldWhatOfThatIsVoid() throws {
        let cluster = try SimulatedCluster()
        let alice = SimulatedClient("alice")
        cluster.connect(alice)
        cluster.run()
        posted(["1"], from: alice, in: cluster)
        alice.session?.writesLeft = 1
        posted(["2"], from: alice, in: cluster)
        #expect(alice.texts == ["1"])
        cluster.join(alice)
        cluster.run()
        cluster.replaceStore(lacking: 1)
        cluster.postElsewhere("other")
        cluster.reconnectAll()
        cluster.advance(by: .seconds(3))
        cluster.becomesWritable(alice)
        cluster.advance(by: .seconds(1))
        #expect(cluster.texts == ["1", "other", "2"])
        #expect(alice.texts == ["1", "other", "2"])
        #expect(alice.rewinds == 1)
    }

    /// The log is ahead of the node, and of the latest messages, which alone are asked for, none came yet: to join again
    /// promises no more than the first time.
    @Test func whoJoinsAgainOnANodeThatIsBehindIsToldWhereItsHistoryBegins() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob, node: 1)
        cluster.run()
        let carol = SimulatedClient("carol")
        cluster.isMute = true
        posted(["1", "2", "3"], from: alice, in: cluster)
        cluster.isMute = false
        cluster.connect(carol, node: 1, history: 1)
        cluster.run()
        cluster.join(carol)
        cluster.run()
        #expect(carol.joinedAt == cluster.log[1].position)
        cluster.advance(by: .seconds(2))
        #expect(carol.texts == ["3"])
    }

    /// What one loop has read from the old store is not what a client gets that has parted from the new one.
    @Test func whoResumesInAnotherHistoryGetsNothingThatWasReadInTheOldOne() throws {
        var settings = LoopHub.Settings()
        settings.ringBytes = 0
        let cluster = try SimulatedCluster(nodes: 2, hub: settings)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.run()
        posted(["1", "2"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 1)
        cluster.postElsewhere("other")
        reconnect(1, link: 0, in: cluster)
        cluster.connect(bob, node: 1, history: 5)
        cluster.run()
        #expect(bob.texts.prefix(2) == ["1", "2"])
        cluster.disconnect(bob)
        cluster.reconnect(1)
        cluster.connect(bob, node: 1)
        cluster.run()
        #expect(bob.rewinds == 1)
        #expect(bob.texts.last == "other")
        #expect(bob.texts.filter { $0 == "2" }.isEmpty)
    }

    /// Two stores have the same message, sent twice; the node that held the second copy holds nothing older.
    @Test func aCopyFromAnotherHistoryIsNotGivenBackBesideTheFirst() throws {
        var settings = RoomDirectory.Settings()
        settings.tailBytes = 600
        let cluster = try SimulatedCluster(nodes: 2, directory: settings)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob, node: 1)
        cluster.run()
        posted(["1"], from: alice, in: cluster)
        cluster.replaceStore(lacking: 0)
        cluster.postElsewhere("other")
        cluster.reconnect(1)
        cluster.run()
        cluster.advance(by: .seconds(2))
        posted(["2"], from: alice, in: cluster)
        let other = SimulatedClient("alice")
        other.connect(node: 1, loop: 0)
        cluster.post("2", from: other, isRetry: true)
        cluster.run()
        #expect(bob.texts == ["1", "other", "2"])
        cluster.replaceStore(lacking: 2)
        cluster.reconnect(0)
        cluster.run()
        cluster.reconnect(1)
        cluster.advance(by: .seconds(3))
        #expect(cluster.texts.filter { $0 == "2" }.count == 1)
        #expect(bob.texts == cluster.texts)
        #expect(alice.texts == cluster.texts)
    }
}
