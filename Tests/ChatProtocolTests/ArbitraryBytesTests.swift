import ChatProtocol
import Foundation
import NIOCore
import Testing

/// Whatever comes, nothing traps, and what is taken another parser takes too. Seeded: every run sees the same bytes.
struct ArbitraryBytesTests {
    /// Goes through every entry that bytes from outside reach.
    private func feed(_ bytes: [UInt8]) {
        var frame = ByteBuffer(bytes: bytes)
        let requestID = ClientMessage.requestID(in: frame)
        _ = ClientMessage.tooLarge(frame, limit: 0)
        _ = RawJSON(frame)?.string
        _ = StoredMessage.isPlausible(frame)
        _ = Position(String(decoding: bytes, as: UTF8.self))

        switch ClientMessage.parse(frame) {
        case .success(let message):
            var again = ByteBuffer()
            message.write(into: &again)
            if case .resume(_, _, let refused) = message, !refused.isEmpty { break }
            #expect(ClientMessage.parse(again) == .success(message))
            expectOthersAgree(bytes)
        case .failure(let refusal):
            if refusal.code != .invalidJSON { #expect(refusal.id == requestID) }
            var error = ByteBuffer()
            ServerMessage.error(refusal).write(into: &error)
            #expect((try? ServerMessage.parse(error)) == .error(refusal))
        }
        if let message = try? ServerMessage.parse(frame) {
            frame.clear()
            message.write(into: &frame)
            #expect((try? ServerMessage.parse(frame)) == message)
            expectOthersAgree(bytes)
        }
    }

    private func expectOthersAgree(_ bytes: [UInt8]) {
        // Text that is not UTF-8 ends a connection before it comes here.
        guard String(validating: bytes, as: UTF8.self) != nil else { return }
        #expect(
            (try? JSONDecoder().decode(Anything.self, from: Data(bytes))) != nil,
            "\(String(decoding: bytes, as: UTF8.self))")
    }

    /// Asks Foundation for an object without asking for the range of its numbers.
    private struct Anything: Decodable {
        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init?(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            _ = try decoder.container(keyedBy: Key.self)
        }
    }

    private static func frames() throws -> [[UInt8]] {
        try ClientMessageTests.table().map { Array($0.frame.utf8) }
            + ServerMessageTests.table().map { Array($0.json.utf8) }
    }

    @Test func `Every frame cut anywhere is refused`() throws {
        for frame in try Self.frames() {
            for length in 0..<frame.count {
                let cut = Array(frame[..<length])
                feed(cut)
                guard case .failure(let refusal) = ClientMessage.parse(ByteBuffer(bytes: cut)) else {
                    Issue.record("a part of a frame was taken: \(String(decoding: cut, as: UTF8.self))")
                    continue
                }
                #expect(refusal.code == .invalidJSON)
                #expect(throws: MalformedServerMessage.self) { try ServerMessage.parse(ByteBuffer(bytes: cut)) }
            }
        }
    }

    @Test func `Frames with bytes changed, doubled, lost or swapped never trap`() throws {
        var random = SeededGenerator(seed: 3)
        let frames = try Self.frames()
        let structural = Array(#"{}[]":,\u0019.eE+-tfn dD8"#.utf8)
        for _ in 0..<12_000 {
            guard var frame = frames.randomElement(using: &random) else { return }
            for _ in 0..<Int.random(in: 1...4, using: &random) where frame.count > 1 {
                let place = Int.random(in: 0..<frame.count, using: &random)
                switch Int.random(in: 0..<6, using: &random) {
                case 0: frame[place] = UInt8.random(in: 0...255, using: &random)
                case 1: frame[place] = structural.randomElement(using: &random) ?? 0
                case 2: frame.remove(at: place)
                case 3: frame.insert(structural.randomElement(using: &random) ?? 0, at: place)
                case 4: frame.swapAt(place, Int.random(in: 0..<frame.count, using: &random))
                default:
                    let other = Int.random(in: 0..<frame.count, using: &random)
                    frame.insert(contentsOf: frame[min(place, other)...max(place, other)], at: place)
                }
            }
            feed(frame)
        }
    }

    @Test func `Random bytes never trap`() {
        var random = SeededGenerator(seed: 4)
        let alphabet = Array(#"{{{}}[]"""::,,\\u00d8tfn1-.e  "type""id""room""data""text""#.utf8)
        for round in 0..<12_000 {
            let count = Int.random(in: 0..<80, using: &random)
            let bytes = (0..<count).map { _ in
                round.isMultiple(of: 2)
                    ? UInt8.random(in: 0...255, using: &random) : alphabet.randomElement(using: &random) ?? 0
            }
            feed(bytes)
        }
    }

    @Test func `Objects made at random are read as they were made`() throws {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<2000 {
            let data = value(depth: 0, &random)
            let text = string(&random)
            let frame = #"{"type":"message","room":"a","text":\#(text),"data":\#(data)}"#
            guard case .success(.message(let post)) = parse(frame) else {
                Issue.record("refused: \(frame)")
                continue
            }
            #expect(post.content.data == raw(data))
            #expect(post.content.text == raw(text))
            let decoded = try JSONDecoder().decode([String].self, from: Data("[\(text)]".utf8))
            #expect(post.content.text?.string.map { Array($0.utf8) } == decoded.first.map { Array($0.utf8) })
            let again = RawJSON(string: try #require(decoded.first))
            #expect(again.string.map { Array($0.utf8) } == decoded.first.map { Array($0.utf8) })
            expectOthersAgree(Array(frame.utf8))
        }
    }

    private func value(depth: Int, _ random: inout SeededGenerator) -> String {
        let space = [" ", "", "", "\n", "\t "].randomElement(using: &random) ?? ""
        switch Int.random(in: 0..<(depth < 5 ? 8 : 5), using: &random) {
        case 0: return ["true", "false", "null"].randomElement(using: &random) ?? "null"
        case 1: return "\(Int64.random(in: .min ... .max, using: &random))"
        case 2: return "\(Double.random(in: -1...1, using: &random))"
        case 3, 4: return string(&random)
        case 5, 6:
            let fields = (0..<Int.random(in: 0..<25, using: &random)).map { index in
                #""k\#(index)"\#(space):\#(space)\#(value(depth: depth + 3, &random))"#
            }
            return "{\(space)" + fields.joined(separator: ",\(space)") + "\(space)}"
        default:
            let elements = (0..<Int.random(in: 0..<5, using: &random)).map { _ in value(depth: depth + 1, &random) }
            return "[\(space)" + elements.joined(separator: "\(space),") + "\(space)]"
        }
    }

    private func string(_ random: inout SeededGenerator) -> String {
        let pieces = [
            "a", "bc", " ", "é", "😀", "日本", #"\n"#, #"\""#, #"\\"#, #"\/"#, #"\u0000"#, #"\u00e9"#, #"\ud83d\ude00"#,
            #"\uFFFD"#, "\u{7F}", "\u{2028}", "eight or more plain bytes",
        ]
        let count = Int.random(in: 0..<12, using: &random)
        return "\"" + (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined() + "\""
    }
}
