import ChatHub
import ChatProtocol

/// Everything that a gateway counted, as one page for Prometheus.
struct GatewayMetrics {
    var hubs = HubMetrics()
    var sessions = SessionRegistry.Metrics()
    var directory = RoomDirectory.Metrics()
    var handshakeRefusals: [ErrorCode: Int] = [:]
    var requestRefusals: [ErrorCode: Int] = [:]
    var pendingHandshakes = 0
    var droppedHandshakes = 0
    var delayedStrangers = 0
    var refusedTokens: [TokenFailure: Int] = [:]
    var storeStatus = BrokerStatus.available
    var isDraining = false

    func write(into page: inout PrometheusText) {
        page.add("roost_connections", .gauge, "Open sessions.", sessions.sessions)
        page.add("roost_event_streams", .gauge, "Open streams of Server-Sent Events.", sessions.streams)
        page.add("roost_sessions_total", .counter, "Sessions opened.", sessions.opened)
        page.add("roost_rooms", .gauge, "Rooms with members on this node.", directory.rooms)
        page.add("roost_frames_received_total", .counter, "Text frames from clients.", sessions.framesIn)
        page.add(
            "roost_messages_received_total", .counter, "Messages from clients handed to the store.", sessions.messagesIn
        )
        page.add(
            "roost_messages_delivered_total", .counter, "Messages written to members as they came, one per member.",
            hubs.deliveries)
        page.add("roost_delivered_bytes_total", .counter, "Bytes of these.", hubs.deliveredBytes)
        page.add(
            "roost_writes_total", .counter, "Times that a client's socket was written to, whatever it was.", hubs.writes
        )
        page.add(
            "roost_caught_up_messages_total", .counter,
            "Messages written late, to members that resumed or had fallen behind.", hubs.caughtUpMessages)
        page.add("roost_caught_up_bytes_total", .counter, "Bytes of these.", hubs.caughtUpBytes)
        page.add(
            "roost_ring_resumes_total", .counter, "Resumes served from memory, without reading a log.",
            hubs.ringResumes)
        page.add(
            "roost_log_reads_total", .counter, "Reads of logs for members that resumed or had fallen behind.",
            hubs.logReads)
        page.add(
            "roost_merged_log_reads_total", .counter, "Times that one of these served somebody else too.",
            hubs.mergedReads)
        page.add("roost_slow_members_total", .counter, "Times that a member fell behind.", hubs.slowMembers)
        page.add("roost_signals_dropped_total", .counter, "Signals that slow members did not get.", hubs.droppedSignals)
        page.add(
            "roost_refused_frames_total", .counter, "Frames answered with an error.", by: "code",
            Self.sorted(sessions.refusals))
        page.add(
            "roost_closed_connections_total", .counter, "Connections that this node closed, by WebSocket close code.",
            by: "code", sessions.closings.map { ("\($0.key.rawValue)", $0.value) }.sorted { $0.0 < $1.0 })
        page.add(
            "roost_refused_requests_total", .counter, "Requests to the HTTP API that were refused.", by: "code",
            Self.sorted(requestRefusals))
        page.add(
            "roost_paced_reads_total", .counter, "Times that a client sent more frames than it may.",
            sessions.pacedReads)
        page.add(
            "roost_refused_handshakes_total", .counter, "Connections refused at the door.", by: "code",
            Self.sorted(handshakeRefusals))
        page.add(
            "roost_pending_handshakes", .gauge, "Connections that have not said what they want, or want next.",
            pendingHandshakes)
        page.add(
            "roost_dropped_handshakes_total", .counter,
            "Connections closed at once: too many had said nothing yet, or too few descriptors were left.",
            droppedHandshakes)
        page.add(
            "roost_delayed_strangers_total", .counter,
            "Times that who has no socket yet had to wait, so that those who have one need not.", delayedStrangers)
        page.add(
            "roost_refused_tokens_total", .counter, "Tokens that were not valid.", by: "reason",
            refusedTokens.map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 })
        page.add("roost_publications_total", .counter, "Publications heard from the store.", directory.publications)
        page.add("roost_holes_total", .counter, "Holes found in what was heard.", directory.holes)
        page.add(
            "roost_repaired_messages_total", .counter, "Messages read from the log to fill holes.",
            directory.repairedMessages)
        page.add(
            "roost_repeated_messages_total", .counter, "Messages heard twice and dropped.", directory.repetitions)
        page.add(
            "roost_audits_total", .counter, "Times that a quiet room was compared with the end of its log.",
            directory.audits)
        page.add(
            "roost_restored_messages_total", .counter, "Messages given back to logs that had lost them.",
            directory.restoredMessages)
        page.add(
            "roost_rewinds_total", .counter, "Rooms taken back because their log went on without some messages.",
            directory.rewinds)
        page.add("roost_gaps_total", .counter, "Losses told to clients.", directory.gaps)
        page.add(
            "roost_failed_log_reads_total", .counter, "Reads of a log for a repair that failed.", directory.failedReads)
        page.add("roost_store_available", .gauge, "Whether the store can be used.", storeStatus == .available ? 1 : 0)
        page.add("roost_draining", .gauge, "Whether this node is about to stop.", isDraining ? 1 : 0)
        page.add(
            "roost_delivery_latency_seconds",
            "From the publishing node's append to the last write on a loop of this node.", hubs.latency)
    }

    private static func sorted(_ counts: [ErrorCode: Int]) -> [(String, Int)] {
        counts.map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 }
    }
}
