import Testing

@testable import ChatGateway

@Suite("Descriptors that are no client's")
struct DescriptorReserveTests {
    @Test("64 are kept, of few a quarter", arguments: [(20_000, 19_936), (256, 192), (100, 75)])
    func share(limit: Int, ceiling: Int) {
        let reserve = DescriptorReserve(limit: limit)
        #expect(reserve.allows(ceiling - 1))
        #expect(!reserve.allows(ceiling))
    }

    @Test("Where the limit is not known everybody gets one")
    func unknown() {
        #expect(DescriptorReserve(limit: nil).allows(1_000_000))
    }
}
