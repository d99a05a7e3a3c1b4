import NIOCore
import Testing

@testable import ChatGateway

@Suite("Draining")
struct DrainPlanTests {
    @Test func spreadsTheSessionsEvenly() {
        let plan = DrainPlan(spread: .seconds(10), allowance: .seconds(5))
        #expect(plan.slot(0, of: 4) == .init(after: .zero, deadline: .seconds(5)))
        #expect(plan.slot(1, of: 4).after == .milliseconds(2500))
        #expect(plan.slot(3, of: 4) == .init(after: .milliseconds(7500), deadline: .milliseconds(12_500)))
        #expect(plan.slot(0, of: 0).after == .zero)
    }
}
