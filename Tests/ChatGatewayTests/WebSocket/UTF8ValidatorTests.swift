import Testing

@testable import ChatGateway

@Suite("UTF-8 that arrives in pieces")
struct UTF8ValidatorTests {
    private func isText(_ pieces: [[UInt8]]) -> Bool {
        var validator = UTF8Validator()
        for piece in pieces where !piece.withUnsafeBytes({ validator.accept($0) }) { return false }
        return validator.isComplete
    }

    @Test(
        "valid text is accepted whole and byte by byte",
        arguments: [
            "", "plain text, longer than two words of eight bytes", "κόσμε", "日本語のテキスト", "👩‍🚀🚀",
            "\u{0}\u{7F}\u{80}\u{7FF}\u{800}",
            "\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}", "sixteen ascii b.é and then some more of it",
        ])
    func valid(_ text: String) {
        let bytes = Array(text.utf8)
        #expect(isText([bytes]))
        #expect(isText(bytes.map { [$0] }))
    }

    @Test(
        "what no text can contain is refused at the byte that shows it",
        arguments: [
            ([0x80], 1), ([0xBF], 1), ([0xC0, 0x80], 1), ([0xC1, 0xBF], 1), ([0xE0, 0x80, 0x80], 2),
            ([0xE0, 0x9F, 0xBF], 2), ([0xED, 0xA0, 0x80], 2), ([0xED, 0xBF, 0xBF], 2), ([0xF0, 0x80, 0x80, 0x80], 2),
            ([0xF0, 0x8F, 0xBF, 0xBF], 2), ([0xF4, 0x90, 0x80, 0x80], 2), ([0xF5, 0x80, 0x80, 0x80], 1),
            ([0xFE], 1), ([0xFF], 1), ([0x61, 0xC3, 0x61], 3), ([0xE2, 0x82, 0x28], 3), ([0xF0, 0x9F, 0x98, 0xC3], 4),
        ] as [([UInt8], Int)])
    func invalid(_ bytes: [UInt8], shownBy index: Int) {
        var validator = UTF8Validator()
        let verdicts = bytes.prefix(index).map { byte in [byte].withUnsafeBytes { validator.accept($0) } }
        #expect(verdicts == Array(repeating: true, count: index - 1) + [false])
    }

    @Test(
        "text that ends within a character is not complete",
        arguments: [[0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x98]] as [[UInt8]])
    func incomplete(_ bytes: [UInt8]) {
        var validator = UTF8Validator()
        #expect(bytes.withUnsafeBytes { validator.accept($0) })
        #expect(!validator.isComplete)
    }

    @Test("agrees with the standard library on bytes that are nearly text, however they are cut")
    func agreement() {
        var random = SystemRandomNumberGenerator()
        let seeds = ["ascii only and long enough", "κόσμε 日本 🚀 mixed", "ééééééééééé"].map { Array($0.utf8) }
        for _ in 0..<3000 {
            var bytes = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 0...2) {
                bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255)
            }
            let cut = Int.random(in: 0...bytes.count)
            let expected = String(validating: bytes, as: UTF8.self) != nil
            #expect(isText([Array(bytes[..<cut]), Array(bytes[cut...])]) == expected, "\(bytes) cut at \(cut)")
        }
    }
}
