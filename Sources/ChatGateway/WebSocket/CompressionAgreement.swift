/// What a client and the node agreed on about permessage-deflate (RFC 7692, section 7.1).
///
/// Each message is compressed by itself in both directions: so one compressed frame serves everybody who agreed, and no
/// connection costs the memory of a window.
package struct CompressionAgreement: Sendable, Equatable {
    static let name = "permessage-deflate"

    /// The client keeps no more than 2 to the power of so many bytes of what the node sends; nil: it did not say.
    let serverWindowBits: UInt8?

    /// The first offer that can be met.
    ///
    /// - Parameter fields: the values of `Sec-WebSocket-Extensions`.
    /// - Returns: nil when there is none. What is no offer in good order is passed over, as if it were not there.
    init?(offers fields: [String]) {
        for offer in fields.flatMap({ $0.split(separator: ",") }) {
            if let agreement = Self(offer: offer) {
                self = agreement
                return
            }
        }
        return nil
    }

    private init?(offer: Substring) {
        var parameters = offer.split(separator: ";", omittingEmptySubsequences: false).map { Self.trimmed($0) }
        guard !parameters.isEmpty, parameters.removeFirst() == Self.name else { return nil }
        var names: Set<Substring> = []
        var windowBits: UInt8?
        for parameter in parameters {
            let halves = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                .map { Self.trimmed($0) }
            guard let name = halves.first, names.insert(name).inserted else { return nil }
            let value = halves.count > 1 ? Self.unquoted(halves[1]) : nil
            switch name {
            case "server_no_context_takeover", "client_no_context_takeover":
                guard value == nil else { return nil }
            case "server_max_window_bits":
                // zlib has no window of 2^8 bytes.
                guard let bits = value.flatMap(Self.bits), bits > 8 else { return nil }
                windowBits = bits
            case "client_max_window_bits":
                // Whatever the client's window, the node's is large enough.
                guard value == nil || value.flatMap(Self.bits) != nil else { return nil }
            default:
                return nil
            }
        }
        serverWindowBits = windowBits
    }

    /// The value of the answer's `Sec-WebSocket-Extensions`.
    var answer: String {
        let answer = "\(Self.name); server_no_context_takeover; client_no_context_takeover"
        return serverWindowBits.map { "\(answer); server_max_window_bits=\($0)" } ?? answer
    }

    /// Frames that were compressed for everybody suit this client.
    var isWindowWhole: Bool { (serverWindowBits ?? 15) == 15 }

    /// In a message of so many bytes nothing is further back than the client can look.
    func covers(_ messageBytes: Int) -> Bool { isWindowWhole || messageBytes <= 1 << (serverWindowBits ?? 15) }

    // MARK: Words

    /// From 8 to 15, as it is written in the RFC: in decimal, without leading zeros.
    private static func bits(_ text: Substring) -> UInt8? {
        guard text.utf8.first.map({ (UInt8(ascii: "1")...UInt8(ascii: "9")).contains($0) }) == true,
            let bits = UInt8(text), (8...15).contains(bits)
        else { return nil }
        return bits
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        var text = text.drop(while: isSpace)
        while text.last.map(isSpace) == true { text.removeLast() }
        return text
    }

    private static func unquoted(_ text: Substring) -> Substring {
        text.count >= 2 && text.first == "\"" && text.last == "\"" ? text.dropFirst().dropLast() : text
    }
}
