import ChatHub
import ChatProtocol
import NIOCore
import NIOPosix
import TestSupport
import Testing

@Suite("The memory broker")
struct MemoryBrokerTests {
    /// It has one node only, which takes both parts of each story.
    @Test(arguments: BrokerBehaviour.allCases)
    func behavesAsEveryBrokerDoes(_ behaviour: BrokerBehaviour) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let loops = Array(group.makeIterator())
        let broker = MemoryBroker(eventLoop: loops[0], loops: loops, clock: { 1_700_000_000_000 })
        let node = try await BrokerNode(broker, commandsOn: loops[1])
        let outcome: Result<Void, any Error>
        do {
            try await behaviour.check(node, node)
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        try await group.shutdownGracefully()
        try outcome.get()
    }
}
