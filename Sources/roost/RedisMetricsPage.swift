import ChatGateway
import RedisBroker

extension PrometheusText {
    mutating func add(_ metrics: RedisBrokerMetrics) {
        add("roost_redis_commands_total", .counter, "Commands sent to Redis.", metrics.commands)
        add("roost_redis_errors_total", .counter, "Errors that Redis answered.", metrics.errors)
        add("roost_redis_timeouts_total", .counter, "Connections given up for want of an answer.", metrics.timeouts)
        add("roost_redis_connections_total", .counter, "Connections to Redis that came to stand.", metrics.connections)
        add(
            "roost_redis_disconnections_total", .counter, "Connections to Redis that ended or could not be made.",
            metrics.disconnections)
        add("roost_redis_answers_total", .counter, "Commands answered.", metrics.commandsAnswered)
        add(
            "roost_redis_answer_seconds_total", .counter, "Time from sending to the answer, all commands together.",
            Double(metrics.commandNanoseconds) / 1e9)
        add("roost_redis_scripts_reloaded_total", .counter, "Scripts that Redis had lost.", metrics.scriptsReloaded)
        add("roost_appended_messages_total", .counter, "Messages that this node stored.", metrics.appended)
        add("roost_duplicate_messages_total", .counter, "Messages that were stored before.", metrics.duplicates)
        add(
            "roost_forbidden_total", .counter, "Messages and entries that rooms' rules forbade.", metrics.forbidden)
        add(
            "roost_redis_announcements_dropped_total", .counter,
            "Typing and signals dropped, Redis being away or slow.",
            metrics.announcementsDropped)
        add(
            "roost_redis_publications_received_total", .counter, "Publications received.", metrics.publicationsReceived)
        add(
            "roost_redis_publications_dropped_total", .counter, "Publications that were not ours.",
            metrics.publicationsDropped)
        add(
            "roost_redis_deaf_subscriptions_total", .counter,
            "Subscribing connections replaced because they were deaf.",
            metrics.deafSubscriptions)
        add(
            "roost_redis_probe_seconds", .gauge, "The last probe's way through Redis and the subscription.",
            Double(metrics.probeNanoseconds) / 1e9)
        add(
            "roost_swept_sessions_total", .counter, "Sessions of dead nodes that this node removed.",
            metrics.sessionsSwept)
        add(
            "roost_redis_topology_changes_total", .counter,
            "Times that sentinels named another primary, or slots of a cluster got another one.",
            metrics.topologyChanges)
        add(
            "roost_redis_topology_refreshes_total", .counter,
            "Times that a node of a cluster was asked who serves what.",
            metrics.topologyRefreshes)
        add(
            "roost_redis_redirections_total", .counter, "Commands that a node of a cluster sent elsewhere or put off.",
            metrics.redirections)
        if !metrics.shardProbeNanoseconds.isEmpty {
            add(
                "roost_redis_shard_probe_seconds", .gauge,
                "The last probe's way through each primary of a cluster and its subscription.", by: "shard",
                metrics.shardProbeNanoseconds.sorted { $0.key < $1.key }.map { ($0.key, Double($0.value) / 1e9) })
        }
    }
}
