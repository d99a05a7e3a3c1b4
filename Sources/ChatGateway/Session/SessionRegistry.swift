import ChatProtocol

/// The sessions of one event loop, and what they counted. Confined to the loop.
final class SessionRegistry {
    struct Metrics: Sendable {
        var sessions = 0
        /// Listeners by Server-Sent Events.
        var streams = 0
        var opened = 0
        var framesIn = 0
        var pacedReads = 0
        /// Messages handed to the broker; a direct message counts twice, as it is stored twice.
        var messagesIn = 0
        /// Requests that the store could not answer.
        var unavailable = 0
        var refusals: [ErrorCode: Int] = [:]
        /// Connections that the node closed first.
        var closings: [CloseCode: Int] = [:]

        static func + (left: Metrics, right: Metrics) -> Metrics {
            Metrics(
                sessions: left.sessions + right.sessions, streams: left.streams + right.streams,
                opened: left.opened + right.opened,
                framesIn: left.framesIn + right.framesIn, pacedReads: left.pacedReads + right.pacedReads,
                messagesIn: left.messagesIn + right.messagesIn,
                unavailable: left.unavailable + right.unavailable,
                refusals: left.refusals.merging(right.refusals, uniquingKeysWith: +),
                closings: left.closings.merging(right.closings, uniquingKeysWith: +))
        }
    }

    private(set) var sessions: [ChatSession] = []
    private(set) var streams: [EventStream] = []
    var metrics = Metrics()

    func add(_ session: ChatSession) {
        session.registryIndex = sessions.count
        sessions.append(session)
        metrics.opened += 1
        metrics.sessions = sessions.count
    }

    func add(_ stream: EventStream) {
        stream.registryIndex = streams.count
        streams.append(stream)
        metrics.streams = streams.count
    }

    func remove(_ stream: EventStream) {
        guard stream.registryIndex < streams.count, streams[stream.registryIndex] === stream else { return }
        let last = streams.removeLast()
        if last !== stream {
            streams[stream.registryIndex] = last
            last.registryIndex = stream.registryIndex
        }
        metrics.streams = streams.count
    }

    func remove(_ session: ChatSession) {
        guard session.registryIndex < sessions.count, sessions[session.registryIndex] === session else { return }
        let last = sessions.removeLast()
        if last !== session {
            sessions[session.registryIndex] = last
            last.registryIndex = session.registryIndex
        }
        metrics.sessions = sessions.count
    }
}
