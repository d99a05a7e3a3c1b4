import Testing

@testable import ChatGateway

@Suite("Agreeing on compression")
struct CompressionAgreementTests {
    static let base = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

    @Test(
        "An offer that can be met is answered without any context kept",
        arguments: [
            (["permessage-deflate"], base), (["permessage-deflate; client_max_window_bits"], base),
            (["permessage-deflate; client_max_window_bits=8; client_no_context_takeover"], base),
            (["  permessage-deflate ;\tserver_no_context_takeover "], base),
            (["permessage-deflate; server_max_window_bits=15"], base + "; server_max_window_bits=15"),
            (["permessage-deflate; server_max_window_bits=\"9\""], base + "; server_max_window_bits=9"),
            (["x-webkit-deflate-frame, permessage-deflate"], base),
            (["foo; bar=\"baz\"", "permessage-deflate"], base),
            // The first that can be met, as the client wishes it.
            (
                ["permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10"],
                base + "; server_max_window_bits=10"
            ),
        ])
    func accepted(fields: [String], answer: String) {
        #expect(CompressionAgreement(offers: fields)?.answer == answer)
    }

    @Test(
        "Any other is passed over",
        arguments: [
            "", ",", ";", "permessage-deflat", "Permessage-Deflate", "permessage-deflate;",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9", "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=x",
        ])
    func declined(field: String) {
        #expect(CompressionAgreement(offers: [field]) == nil)
    }

    @Test("Who has a smaller window gets what fits into it compressed, and nothing that was compressed for everybody")
    func smallWindow() throws {
        let small = try #require(CompressionAgreement(offers: ["permessage-deflate; server_max_window_bits=9"]))
        #expect(small.covers(512))
        #expect(!small.covers(513))
        #expect(!small.isWindowWhole)
        let whole = try #require(CompressionAgreement(offers: ["permessage-deflate; server_max_window_bits=15"]))
        #expect(whole.isWindowWhole)
        #expect(whole.covers(1 << 20))
    }
}
