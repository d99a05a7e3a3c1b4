import ChatProtocol
import NIOCore
import Testing

@Suite("Decimal digits")
struct DecimalTests {
    /// Every length, at both of its ends.
    private static let numbers: [UInt64] =
        (0...19).flatMap { digits -> [UInt64] in
            let power = (0..<digits).reduce(1 as UInt64) { power, _ in power * 10 }
            return [power - 1, power, power + 1]
        } + [1_234_567_890_123_456_789, .max - 1, .max]

    @Test("are written as Swift writes them, and read back", arguments: numbers)
    func roundTrip(number: UInt64) {
        var out = ByteBuffer(string: "<")
        out.writeDecimal(number)
        #expect(out == ByteBuffer(string: "<\(number)"))
        #expect(Decimal.length(of: number) == "\(number)".utf8.count)
        out.moveReaderIndex(forwardBy: 1)
        #expect(out.withUnsafeReadableBytes { Decimal.value(of: $0) } == number)
    }
}
