import NIOHTTP1

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Whose word counts for where a connection comes from: `X-Forwarded-For` is anybody's to write.
package struct ProxyTrust: Sendable, Equatable {
    /// Addresses that begin with the same bits.
    private struct Range: Sendable, Equatable {
        var bytes: [UInt8]
        var bits: Int

        func contains(_ address: [UInt8]) -> Bool {
            guard address.count == bytes.count else { return false }
            let whole = bits / 8
            guard address[..<whole] == bytes[..<whole] else { return false }
            guard bits % 8 > 0 else { return true }
            return (address[whole] ^ bytes[whole]) >> UInt8(8 - bits % 8) == 0
        }
    }

    private var ranges: [Range] = []

    /// Nobody's.
    package init() {}

    /// - Parameter texts: addresses, or ranges as `10.0.0.0/8`.
    /// - Returns: nil when one of them is neither.
    package init?(_ texts: [String]) {
        for text in texts {
            let halves = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let bytes = halves.first.flatMap({ Self.bytes(of: String($0)) }) else { return nil }
            let bits = halves.count > 1 ? Int(halves[1]) : bytes.count * 8
            guard let bits, (0...bytes.count * 8).contains(bits) else { return nil }
            ranges.append(Range(bytes: bytes, bits: bits))
        }
    }

    /// Where a request comes from: the nearest address that is no proxy of ours. The list is read from its end, which the
    /// nearest proxy wrote.
    ///
    /// - Parameters:
    ///   - peer: the socket's other end.
    ///   - headers: looked into for `X-Forwarded-For` if the peer is trusted.
    func client(of peer: String, forwardedFor headers: HTTPHeaders) -> String {
        ranges.isEmpty ? peer : client(of: peer, forwardedFor: headers["X-Forwarded-For"])
    }

    /// - Parameter peer: the socket's other end.
    func client(of peer: String, forwardedFor fields: [String]) -> String {
        guard !ranges.isEmpty, isTrusted(peer) else { return peer }
        var client = peer
        for hop in fields.joined(separator: ",").split(separator: ",").reversed() {
            let address = String(hop.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
            // What is no address was not written by one of ours.
            guard Self.bytes(of: address) != nil else { return client }
            client = address
            if !isTrusted(address) { return client }
        }
        return client
    }

    /// Whether many clients come from there.
    func isTrusted(_ address: String) -> Bool {
        guard let bytes = Self.bytes(of: address) else { return false }
        return ranges.contains { $0.contains(bytes) }
    }

    /// An IPv4 address within IPv6 counts as itself.
    private static func bytes(of address: String) -> [UInt8]? {
        var four: [UInt8] = Array(repeating: 0, count: 4)
        if inet_pton(AF_INET, address, &four) == 1 { return four }
        var sixteen: [UInt8] = Array(repeating: 0, count: 16)
        guard inet_pton(AF_INET6, address, &sixteen) == 1 else { return nil }
        let isMapped = sixteen[..<10].allSatisfy { $0 == 0 } && sixteen[10] == 0xFF && sixteen[11] == 0xFF
        return isMapped ? Array(sixteen[12...]) : sixteen
    }
}
