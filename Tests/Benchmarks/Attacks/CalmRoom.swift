import Foundation
import NIOCore
import Synchronization
import TestSupport

/// Twenty who listen and one who speaks, at a pace that waits for nobody.
final class CalmRoom: Sendable {
    static let listeners = 20
    static let rate = 100
    private static let past = 1000

    private let speaker: any Channel
    private let latencies = Mutex<[Double]>([])

    private init(speaker: any Channel) {
        self.speaker = speaker
    }

    static func open(port: Int, token: @Sendable (String) throws -> String) async throws -> CalmRoom {
        let join = RawWebSocket.Frame.text(#"{"type":"join","room":"calm"}"#).bytes
        let speaker = try await Socket.open(port: port, token: try token("speaker"))
        try await speaker.writeAndFlush(join)
        let room = CalmRoom(speaker: speaker)
        for number in 0..<listeners {
            let channel = try await Socket.open(port: port, token: try token("listener-\(number)")) { text, _ in
                room.heard(text)
            }
            try await channel.writeAndFlush(join)
        }
        // There is a past to ask for.
        for _ in 0..<Self.past {
            let text = String(repeating: "x", count: 120)
            speaker.write(
                RawWebSocket.Frame.text(#"{"type":"message","room":"calm","text":"\#(text)"}"#).bytes, promise: nil)
        }
        speaker.flush()
        return room
    }

    private func heard(_ text: String) {
        guard text.hasPrefix(#"{"type":"message""#), let start = text.range(of: #""text":""#),
            let sentAt = UInt64(text[start.upperBound...].prefix { $0.isNumber })
        else { return }
        let milliseconds = Double(NIODeadline.now().uptimeNanoseconds - sentAt) / 1e6
        latencies.withLock { $0.append(milliseconds) }
    }

    struct Outcome {
        var p50: Double
        var p99: Double
        var delivered: Double
    }

    func talk(seconds: Int) async throws -> Outcome {
        latencies.withLock { $0 = [] }
        let clock = ContinuousClock()
        var next = clock.now
        for _ in 0..<seconds * Self.rate {
            try await clock.sleep(until: next)
            next += .seconds(1) / Self.rate
            let words = "\(NIODeadline.now().uptimeNanoseconds) \(String(repeating: "x", count: 100))"
            let frame = RawWebSocket.Frame.text(#"{"type":"message","room":"calm","text":"\#(words)"}"#)
            try await speaker.writeAndFlush(frame.bytes)
        }
        try await Task.sleep(for: .seconds(1))
        let sorted = latencies.withLock { $0.sorted() }
        func percentile(_ share: Double) -> Double {
            sorted.isEmpty ? .infinity : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
        }
        let due = Double(seconds * Self.rate * Self.listeners)
        return Outcome(p50: percentile(0.5), p99: percentile(0.99), delivered: Double(sorted.count) / due)
    }
}
