import ChatProtocol
import NIOCore
import Testing

/// Why the text is refused as the object that a client sends; nil when it is taken.
private func fault(_ text: String) -> JSONError.Reason? {
    var text = text
    return text.withUTF8 { bytes in
        do throws(JSONError) {
            _ = try JSONScanner.object(in: UnsafeRawBufferPointer(bytes))
            return nil
        } catch {
            return error.reason
        }
    }
}

struct JSONScannerTests {
    @Test(arguments: [
        "{}", " \t\r\n{ \t\r\n} \t\r\n", #"{"":""}"#, #"{"a":1,"b":2}"#, #"{"a":{"a":{"a":1}}}"#,
        #"{"a":[{"b":1},{"b":1}]}"#,
        #"{"a":0,"b":-0,"c":1.5,"d":-1.5e10,"e":1E+2,"f":1e-2,"g":1e400,"h":123456789012345678901234567890}"#,
        #"{"a":true,"b":false,"c":null,"d":[],"e":{},"f":[ ],"g":{ }}"#,
        #"{"a":"\"\\\/\b\f\n\r\t\u0000\u00e9\uFFFF\ud83d\ude00\uD83D\uDE00"}"#, #"{"é":"😀","日本":"\#u{7F}\#u{2028}"}"#,
        #"{"a":[1,"x",null,[true],{"b":[]}]}"#, #"{"\u0061":1,"\u0062":2}"#, #"{"a\u0000":1,"a":2}"#,
    ])
    func `JSON of every kind is taken`(_ text: String) {
        #expect(fault(text) == nil)
    }

    @Test(
        arguments: [
            ("", .notAnObject), (" ", .notAnObject), ("[]", .notAnObject), ("1", .notAnObject), (#""a""#, .notAnObject),
            ("null", .notAnObject), ("\u{FEFF}{}", .notAnObject), ("\u{0}{}", .notAnObject), ("//\n{}", .notAnObject),
            ("{", .endsTooEarly), (#"{"a"#, .endsTooEarly), (#"{"a""#, .endsTooEarly), (#"{"a":"#, .endsTooEarly),
            (#"{"a":1"#, .endsTooEarly), (#"{"a":1,"#, .endsTooEarly), (#"{"a":[1"#, .endsTooEarly),
            (#"{"a":"\"#, .endsTooEarly), (#"{"a":"\u00"#, .endsTooEarly),
            ("{}{}", .trailingBytes), ("{} x", .trailingBytes), ("{}}", .trailingBytes), ("{}\u{0}", .trailingBytes),
            ("{,}", .unexpectedByte), (#"{"a":1,}"#, .unexpectedByte), (#"{"a" 1}"#, .unexpectedByte),
            (#"{"a"::1}"#, .unexpectedByte), (#"{"a":1 "b":2}"#, .unexpectedByte), ("{a:1}", .unexpectedByte),
            ("{'a':1}", .unexpectedByte), ("{1:1}", .unexpectedByte), (#"{"a":[1,]}"#, .unexpectedByte),
            (#"{"a":[,1]}"#, .unexpectedByte), (#"{"a":[1 2]}"#, .unexpectedByte), (#"{"a":[1}}"#, .unexpectedByte),
            (#"{"a":{]}"#, .unexpectedByte), (#"{"a":NaN}"#, .unexpectedByte), (#"{"a":Infinity}"#, .unexpectedByte),
            (#"{"a":+1}"#, .unexpectedByte), (#"{"a":.5}"#, .unexpectedByte), (#"{"a":01}"#, .unexpectedByte),
            (#"{"a":0x1}"#, .unexpectedByte), (#"{"a":1_000}"#, .unexpectedByte), (#"{"a":\#u{A0}1}"#, .unexpectedByte),
            (#"{"a":1/**/}"#, .unexpectedByte), (#"{"a":\#u{B}1}"#, .unexpectedByte), (#"{"a":'b'}"#, .unexpectedByte),
            (#"{"a":-}"#, .invalidNumber), (#"{"a":-Infinity}"#, .invalidNumber), (#"{"a":1.}"#, .invalidNumber),
            (#"{"a":1.e2}"#, .invalidNumber), (#"{"a":1e}"#, .invalidNumber), (#"{"a":1e+}"#, .invalidNumber),
            (#"{"a":--1}"#, .invalidNumber), (#"{"a":tru}"#, .invalidLiteral), (#"{"a":True}"#, .unexpectedByte),
            (#"{"a":nul"#, .invalidLiteral), (#"{"a":nan}"#, .invalidLiteral), (#"{"a":truee}"#, .unexpectedByte),
            ("{\"a\":\"\n\"}", .controlCharacter), ("{\"a\":\"\u{0}\"}", .controlCharacter),
            ("{\"a\":\"0123456789\u{1F}\"}", .controlCharacter), ("{\"a\tb\":1}", .controlCharacter),
            (#"{"a":"\x41"}"#, .invalidEscape), (#"{"a":"\'"}"#, .invalidEscape), (#"{"a":"\U0041"}"#, .invalidEscape),
            (#"{"a":"\u00g0"}"#, .invalidEscape), (#"{"a":"\u+041"}"#, .invalidEscape),
            (#"{"a":"\u 041"}"#, .invalidEscape),
            (#"{"a":"\ud800"}"#, .loneSurrogate), (#"{"a":"\udc00"}"#, .loneSurrogate),
            (#"{"a":"\udbff "}"#, .loneSurrogate),
            (#"{"a":"\ud800\n"}"#, .loneSurrogate), (#"{"a":"\ud800\ud800"}"#, .loneSurrogate),
            (#"{"a":"\ud800A"}"#, .loneSurrogate), (#"{"\udfff":1}"#, .loneSurrogate),
            (#"{"a":1,"a":1}"#, .duplicateKey), (#"{"a":{"b":1,"b":2}}"#, .duplicateKey),
            (#"{"a":[[{"b":1,"c":0,"b":2}]]}"#, .duplicateKey), (#"{"a":1,"\u0061":1}"#, .duplicateKey),
            (#"{"\u0061":1,"a":1}"#, .duplicateKey), (#"{"\u0061":1,"\u0061":1}"#, .duplicateKey),
            (#"{"😀":1,"\ud83d\ude00":1}"#, .duplicateKey), (#"{"":1,"":1}"#, .duplicateKey),
            (#"{"/":1,"\/":1}"#, .duplicateKey), (#"{"a":{"b":1},"a":2}"#, .duplicateKey),
        ] as [(String, JSONError.Reason)])
    func `What is not strictly one JSON object is refused for its reason`(_ text: String, _ reason: JSONError.Reason) {
        #expect(fault(text) == reason)
    }

    @Test func `Keys that only look alike are not duplicates`() {
        #expect(fault(#"{"\#u{E9}":1,"e\#u{301}":2,"a":3,"A":4,"а":5,"a ":6}"#) == nil)
    }

    @Test(arguments: 1...16) func `A quote, escape or control character is seen at every place of a word`(_ place: Int)
    {
        let before = String(repeating: "é", count: place / 2) + String(repeating: "x", count: place % 2)
        #expect(fault(#"{"a":"\#(before)"}"#) == nil)
        #expect(fault(#"{"a":"\#(before)"x}"#) == .unexpectedByte)
        #expect(fault(#"{"a":"\#(before)\u0000 and eight more"}"#) == nil)
        #expect(fault(#"{"a":"\#(before)\x and eight more"}"#) == .invalidEscape)
        for control in 0..<UInt8(0x20) {
            let character = Character(Unicode.Scalar(control))
            #expect(fault(#"{"a":"\#(before)\#(character) and eight more"}"#) == .controlCharacter)
        }
    }

    @Test func `Duplicates are found in objects of any size, wherever they stand`() {
        for count in [2, 15, 16, 17, 18, 19, 100, 1000, 3000] {
            let keys = (0..<count).map { #""k\#($0)":0"# }
            #expect(fault("{" + keys.joined(separator: ",") + "}") == nil)
            for (first, second) in [(0, count - 1), (count - 2, count - 1), (0, 1)] {
                var twice = keys
                twice[second] = #""\u006b\#(first)":{}"#
                #expect(fault("{" + twice.joined(separator: ",") + "}") == .duplicateKey)
                #expect(fault(#"{"a":[{"# + twice.joined(separator: ",") + "}]}") == .duplicateKey)
            }
        }
    }

    @Test func `Thirty-two levels are taken, one more is not, nor are a hundred thousand`() {
        func nested(_ open: String, _ close: String, _ depth: Int) -> String {
            String(repeating: open, count: depth - 1) + "{}" + String(repeating: close, count: depth - 1)
        }
        func inArrays(_ depth: Int) -> String {
            #"{"a":"# + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1) + "}"
        }
        #expect(fault(nested(#"{"a":"#, "}", 32)) == nil)
        #expect(fault(nested(#"{"a":"#, "}", 33)) == .tooDeep)
        #expect(fault(nested(#"{"a":"#, "}", 100_000)) == .tooDeep)
        #expect(fault(inArrays(32)) == nil)
        #expect(fault(inArrays(33)) == .tooDeep)
        #expect(fault(inArrays(100_000)) == .tooDeep)
        #expect(fault(#"{"a":"# + String(repeating: "[", count: 100_000)) == .tooDeep)
    }

    @Test func `Of 200,000 keys no more are looked at than the limit`() {
        let fields = (0..<200_000).map { #""k\#($0)":0"# }
        let text = "{" + fields.joined(separator: ",") + "}"
        #expect(fault(text) == .tooManyKeys)
        #expect(fault(#"{"a":"# + text + "}") == .tooManyKeys)

        let taken = fields[..<JSONScanner.maximumKeys].joined(separator: ",")
        let error = ByteBuffer(string: text).withUnsafeReadableBytes { bytes in
            #expect(throws: JSONError.self) { try JSONScanner.object(in: bytes) }
        }
        #expect(error?.offset == taken.utf8.count + 2)
    }

    @Test func `Many small objects are not many keys`() {
        let objects = (0..<100_000).map { _ in #"{"a":0}"# }.joined(separator: ",")
        #expect(fault(#"{"a":[\#(objects)]}"#) == nil)
    }

    @Test func `A field is found by its meaning, its value by its place`() throws {
        let text = #" {"\u0072oom" : "a" ,"data": {"room":[1, 2]} }"#
        try ByteBuffer(string: text).withUnsafeReadableBytes { bytes in
            let object = try JSONScanner.object(in: bytes)
            let room = try #require(object["room"])
            #expect(room.kind == .plainString)
            #expect(String(decoding: bytes[room.range], as: UTF8.self) == #""a""#)
            let data = try #require(object["data"])
            #expect(data.kind == .object)
            #expect(String(decoding: bytes[data.range], as: UTF8.self) == #"{"room":[1, 2]}"#)
            #expect(object["dat"] == nil)
            #expect(object[""] == nil)
        }
    }

    @Test(arguments: [
        (#""""#, ""), (#""abc""#, "abc"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0000\u00e9\u20AC""#, "\0é€"),
        (#""x\ud83d\ude00y""#, "x😀y"), (#"  "é😀"  "#, "é😀"), (#""\uffff""#, "\u{FFFF}"),
        (#""\udbff\udfff""#, "\u{10FFFF}"),
    ])
    func `A string means what its escapes say`(_ json: String, _ meaning: String) {
        #expect(RawJSON(ByteBuffer(string: json))?.string.map { Array($0.utf8) } == Array(meaning.utf8))
    }

    @Test func `Only one whole value is raw JSON, and only a string has text`() {
        for json in ["", " ", "1 2", "[", "{}x", #"{"a":1,"a":1}"#, "tru", #""\ud800""#] {
            #expect(RawJSON(ByteBuffer(string: json)) == nil)
        }
        for json in ["1", "1e400", "null", "[1,[2]]", #"{"a":{"b":1}}"#, "true"] {
            let value = RawJSON(ByteBuffer(string: "\n\(json) "))
            #expect(value == raw(json), "without the white space around it")
            #expect(value?.string == nil)
        }
    }
}
