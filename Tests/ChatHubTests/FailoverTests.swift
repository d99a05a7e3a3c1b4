import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

/// A store that is replaced by one that lacks the last writes, seen by the nodes and their members.
@Suite("A failover of the store")
struct FailoverTests {
    private func posted(_ count: ClosedRange<Int>, from client: SimulatedClient, in cluster: SimulatedCluster) {
        for index in count {
            cluster.post("\(index)", from: client)
            cluster.run()
        }
    }

    @Test func whatTheStoreLostIsGivenBackAndNobodyNotices() throws {
        let cluster = try SimulatedCluster()
        let alice = SimulatedClient("alice")
        cluster.connect(alice)
        cluster.run()
        posted(1...5, from: alice, in: cluster)
        cluster.replaceStore(lacking: 2)
        cluster.reconnectAll()
        cluster.run()
        posted(6...6, from: alice, in: cluster)
        cluster.advance(by: .seconds(2))
        #expect(alice.texts == ["1", "2", "3", "4", "5", "6"])
        #expect(cluster.texts == ["1", "2", "3", "4", "5", "6"])
        #expect(cluster.log.last?.position.seq == 1)
    }

    @Test func whatTheLogWentOnWithoutComesAgainAfterARewind() throws {
        let cluster = try SimulatedCluster(loops: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob, loop: 1)
        cluster.run()
        posted(1...5, from: alice, in: cluster)
        cluster.replaceStore(lacking: 2)
        cluster.postElsewhere("other")
        #expect(bob.texts == ["1", "2", "3", "4", "5"])
        cluster.reconnectAll()
        cluster.advance(by: .seconds(2))
        posted(6...6, from: alice, in: cluster)
        for client in [alice, bob] {
            #expect(client.texts == ["1", "2", "3", "other", "4", "5", "6"])
            #expect(client.rewinds == 1)
        }
        #expect(cluster.texts == ["1", "2", "3", "other", "4", "5", "6"])
    }

    @Test func aSlowMemberIsTakenBackOnlyAsFarAsItHasCome() throws {
        let cluster = try SimulatedCluster()
        let (slow, fast) = (SimulatedClient("slow"), SimulatedClient("fast"))
        cluster.connect(slow)
        cluster.connect(fast)
        cluster.run()
        posted(1...1, from: fast, in: cluster)
        slow.session?.isWritable = false
        posted(2...5, from: fast, in: cluster)
        cluster.replaceStore(lacking: 2)
        cluster.postElsewhere("other")
        cluster.reconnectAll()
        cluster.advance(by: .seconds(2))
        cluster.becomesWritable(slow)
        cluster.advance(by: .seconds(2))
        #expect(slow.texts == ["1", "2", "3", "other", "4", "5"])
        #expect(slow.rewinds == 0)
        #expect(fast.texts == slow.texts)
        #expect(fast.rewinds == 1)
    }

    @Test func aLostLastMessageIsFoundByAnAudit() throws {
        let cluster = try SimulatedCluster()
        let alice = SimulatedClient("alice")
        cluster.connect(alice)
        cluster.run()
        posted(1...1, from: alice, in: cluster)
        cluster.advance(by: .seconds(1))
        cluster.isMute = true
        posted(2...2, from: alice, in: cluster)
        cluster.isMute = false
        #expect(alice.texts == ["1"])
        cluster.advance(by: .seconds(2))
        #expect(alice.texts == ["1", "2"])
    }

    @Test func whatNobodyHoldsIsTakenBackAndTheLogGoesOnInANewEpoch() throws {
        var settings = RoomDirectory.Settings()
        settings.tailBytes = 0
        let cluster = try SimulatedCluster(nodes: 2, directory: settings)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob, node: 1)
        cluster.run()
        posted(1...5, from: alice, in: cluster)
        let epoch = cluster.log[0].position.epoch
        cluster.replaceStore(lacking: 2)
        cluster.reconnectAll()
        cluster.advance(by: .seconds(2))
        posted(6...6, from: alice, in: cluster)
        cluster.advance(by: .seconds(2))
        for client in [alice, bob] {
            #expect(client.texts == ["1", "2", "3", "6"])
            #expect(client.rewinds == 1)
        }
        #expect(cluster.log.last?.position.epoch != epoch)
    }

    @Test func aNodeThatHoldsOnlyAPartGivesThatBackIfNobodyHoldsMore() throws {
        var settings = RoomDirectory.Settings()
        // Room for the last delivery of one message, not for two.
        settings.tailBytes = 500
        let cluster = try SimulatedCluster(directory: settings)
        let alice = SimulatedClient("alice")
        cluster.connect(alice)
        cluster.run()
        posted(1...5, from: alice, in: cluster)
        cluster.replaceStore(lacking: 2)
        cluster.reconnectAll()
        cluster.advance(by: .seconds(3))
        posted(6...6, from: alice, in: cluster)
        cluster.advance(by: .seconds(2))
        #expect(cluster.texts == ["1", "2", "3", "5", "6"])
        // What is lost is not kept by one member alone: it was told to go back to where the log was whole.
        #expect(alice.texts == ["1", "2", "3", "5", "6"])
    }

    @Test func twoNodesWithTailsOfDifferentLengthsGiveBackTheWholeOnce() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.run()
        posted(1...4, from: alice, in: cluster)
        // From here on there are two who can give back.
        cluster.connect(bob, node: 1)
        cluster.run()
        posted(5...6, from: alice, in: cluster)
        cluster.replaceStore(lacking: 4)
        // The one with the shorter tail comes first.
        cluster.reconnect(1)
        cluster.advance(by: .milliseconds(200))
        cluster.reconnect(0)
        cluster.advance(by: .seconds(3))
        posted(7...7, from: alice, in: cluster)
        #expect(cluster.texts == ["1", "2", "3", "4", "5", "6", "7"])
        #expect(alice.texts == ["1", "2", "3", "4", "5", "6", "7"])
        #expect(bob.texts == ["5", "6", "7"])
        #expect(alice.rewinds + bob.rewinds == 0)
    }

    @Test func whoResumesAtAVoidPositionIsToldAndGetsWhatIsThereNow() throws {
        var settings = RoomDirectory.Settings()
        settings.tailBytes = 0
        let cluster = try SimulatedCluster(nodes: 2, directory: settings)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob)
        cluster.run()
        posted(1...5, from: alice, in: cluster)
        cluster.disconnect(bob)
        cluster.replaceStore(lacking: 2)
        cluster.postElsewhere("other")
        cluster.reconnectAll()
        cluster.connect(bob, node: 1)
        cluster.advance(by: .seconds(2))
        posted(6...6, from: alice, in: cluster)
        #expect(alice.texts == ["1", "2", "3", "other", "6"])
        #expect(bob.texts.contains { $0.hasPrefix("not recovered") })
        #expect(bob.texts.suffix(2) == ["other", "6"])
    }

    /// The log is ahead of the node: of the latest messages, which alone are asked for, none was delivered there yet.
    @Test func aJoinWithHistoryOnANodeThatIsBehindTellsAHeadFromWhichNothingIsMissing() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob, carol) = (SimulatedClient("alice"), SimulatedClient("bob"), SimulatedClient("carol"))
        cluster.connect(alice)
        cluster.connect(bob, node: 1)
        cluster.run()
        cluster.isMute = true
        posted(1...5, from: alice, in: cluster)
        cluster.isMute = false
        cluster.connect(carol, node: 1, history: 2)
        cluster.run()
        #expect(carol.joinedAt == cluster.log[2].position)
        cluster.advance(by: .seconds(2))
        #expect(carol.texts == ["4", "5"])
        #expect(bob.texts == ["1", "2", "3", "4", "5"])
    }

    /// The store was replaced while the subscription is still with the old one, which goes on without the rest.
    @Test func whatTheOldStoreStillPublishesIsNotDelivered() throws {
        let cluster = try SimulatedCluster(nodes: 2)
        let (alice, bob) = (SimulatedClient("alice"), SimulatedClient("bob"))
        cluster.connect(alice)
        cluster.connect(bob, node: 1)
        cluster.run()
        posted(1...3, from: alice, in: cluster)
        cluster.replaceStore(lacking: 0)
        for link in cluster.nodes[1].broker.links { cluster.reconnect(link) }
        cluster.run()
        // Two are stored where only one of the nodes still is, and the first is not heard.
        cluster.isMute = true
        posted(4...4, from: alice, in: cluster)
        cluster.isMute = false
        posted(5...5, from: alice, in: cluster)
        #expect(bob.texts == ["1", "2", "3"])
        cluster.reconnectAll()
        cluster.advance(by: .seconds(3))
        #expect(bob.texts == cluster.texts)
        #expect(Set(cluster.texts).isSuperset(of: ["1", "2", "3", "5"]))
    }
}
