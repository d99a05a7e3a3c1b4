import ChatProtocol
import NIOCore
import Testing

func parse(_ text: String) -> Result<ClientMessage, Refusal> {
    ClientMessage.parse(ByteBuffer(string: text))
}

func refusal(of text: String) throws -> Refusal {
    switch parse(text) {
    case .success(let message):
        Issue.record("taken as \(message)")
        throw NotRefused()
    case .failure(let refusal):
        return refusal
    }
}

struct NotRefused: Error {}

func json(_ message: ClientMessage) -> String {
    var out = ByteBuffer()
    message.write(into: &out)
    return String(buffer: out)
}

func json(_ message: ServerMessage) -> String {
    var out = ByteBuffer()
    message.write(into: &out)
    return String(buffer: out)
}

func raw(_ json: String) -> RawJSON {
    RawJSON(validated: ByteBuffer(string: json))
}

func id(_ text: String) throws -> RequestID { try #require(RequestID(text)) }

func room(_ text: String) throws -> RoomName { try #require(RoomName(text)) }

func user(_ text: String) throws -> UserName { try #require(UserName(text)) }

/// Numbers that look random and are the same in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
