/// How long the wrapper takes to decode a publication and to write one, against plain hiredis.
///
///     swift run -c release HiredisBenchmark [ROUNDS]
@main
struct HiredisBenchmark {
    static func main() {
        let rounds = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 9
        let traffic = Traffic(messages: 100_000, payloadBytes: 128, feedBytes: 16 << 10)

        let decoding = Comparison(
            title: "decode one published message, 128-byte payload, 16 KiB feeds",
            operations: traffic.messages,
            contestants: [
                Contestant("redisReply objects, freed") { PlainHiredis.decode(traffic, copying: false) },
                Contestant("redisReply objects, copied out, freed") { PlainHiredis.decode(traffic, copying: true) },
                Contestant("ReplyReader") { Wrapper.decode(traffic) },
            ])
        decoding.run(rounds: rounds)

        let encoding = Comparison(
            title: "write one PUBLISH, 128-byte payload",
            operations: traffic.messages,
            contestants: [
                Contestant("redisFormatCommandArgv, copied out, freed") { PlainHiredis.encode(traffic) },
                Contestant("CommandFormatter, [ByteBuffer]") { Wrapper.encodeBuffers(traffic) },
                Contestant("CommandFormatter, [Argument]") { Wrapper.encodeArguments(traffic) },
            ])
        encoding.run(rounds: rounds)
    }
}
