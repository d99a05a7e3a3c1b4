import TestSupport
import Testing

@Suite("A Redis broker behaves as every broker does")
struct BehaviourTests {
    @Test(arguments: BrokerBehaviour.allCases)
    func behaves(_ behaviour: BrokerBehaviour) async throws {
        try await withBrokers(2) { _, brokers in
            // The commands of the loop that does not listen, too: they must not depend on it.
            try await behaviour.check(brokers[0].node, brokers[1].node.on(brokers[1].loops[1]))
        }
    }
}
