/// What a node spent, by its own metrics.
package struct NodeCost: Sendable, Codable, Equatable {
    /// Its name, or the address of its metrics.
    package var node: String
    /// From the first message to the last.
    package var cpuSeconds: Double?
    package var deliveries: Double?
    /// From clients.
    package var messages: Double?
    /// Heard from Redis.
    package var publications: Double?
    /// To clients' sockets, each with all that a turn of a loop brought.
    package var writes: Double?
    /// Comparisons of quiet rooms with their logs.
    package var audits: Double?
    /// When all were connected, and then.
    package var connections: Double?
    package var residentBytes: Double?
    /// What it grew by while they connected, each.
    package var bytesPerConnection: Double?
    /// While they connected and joined, each.
    package var cpuMicrosecondsPerConnect: Double?
    /// Calls of Redis, and how long they took, all together.
    package var redisCalls: Double?
    package var redisSeconds: Double?

    package var cpuMicrosecondsPerDelivery: Double? {
        guard let cpuSeconds, let deliveries, deliveries > 0 else { return nil }
        return cpuSeconds * 1e6 / deliveries
    }

    package var redisMillisecondsPerCall: Double? {
        guard let redisCalls, let redisSeconds, redisCalls > 0 else { return nil }
        return redisSeconds * 1e3 / redisCalls
    }

    /// - Parameters: what the node's metrics said before the first connection, before the first message, after the last.
    package init(node: String, empty: NodeMetrics?, begin: NodeMetrics?, end: NodeMetrics?) {
        self.node = node
        // Counters of another process say nothing: the node was restarted.
        let start = "process_start_time_seconds"
        let isSame = begin?[start] == end?[start]
        func growth(_ name: String) -> Double? {
            guard isSame, let begin = begin?[name], let end = end?[name], end >= begin else { return nil }
            return end - begin
        }
        cpuSeconds = growth("process_cpu_seconds_total")
        if let live = growth("roost_messages_delivered_total") {
            deliveries = live + (growth("roost_caught_up_messages_total") ?? 0)
        }
        messages = growth("roost_messages_received_total")
        publications = growth("roost_publications_total")
        writes = growth("roost_writes_total")
        audits = growth("roost_audits_total")
        connections = begin?["roost_connections"]
        residentBytes = begin?["process_resident_memory_bytes"]
        if let before = empty?["process_resident_memory_bytes"], let residentBytes, let connections {
            let new = connections - (empty?["roost_connections"] ?? 0)
            if new >= 1 {
                bytesPerConnection = max(0, residentBytes - before) / new
                if let cpu = begin?["process_cpu_seconds_total"], let idle = empty?["process_cpu_seconds_total"] {
                    cpuMicrosecondsPerConnect = max(0, cpu - idle) * 1e6 / new
                }
            }
        }
        redisCalls = growth("roost_redis_answers_total")
        redisSeconds = growth("roost_redis_answer_seconds_total")
    }
}

/// What Redis spent, by its own `INFO`.
package struct RedisCost: Sendable, Codable, Equatable {
    /// From the first message to the last; nil when it was restarted meanwhile.
    package var cpuSeconds: Double?
    package var messages: Int
    /// While clients connected and joined.
    package var connectCPUSeconds: Double?
    /// At the last message.
    package var memoryBytes: Double

    package var cpuMicrosecondsPerMessage: Double? {
        guard let cpuSeconds, messages > 0 else { return nil }
        return cpuSeconds * 1e6 / Double(messages)
    }

    /// - Parameters: its `INFO` before the first connection, before the first message and after the last; messages that
    ///   were stored between these two.
    init?(empty: RedisInfo?, begin: RedisInfo?, end: RedisInfo?, messages: Int) {
        guard let end, let memory = end["used_memory"] else { return nil }
        self.messages = messages
        memoryBytes = memory
        if let empty = empty?.cpuSeconds, let begin = begin?.cpuSeconds { connectCPUSeconds = begin - empty }
        let isSame = begin?.runID == end.runID
        if isSame, let begin = begin?.cpuSeconds, let end = end.cpuSeconds { cpuSeconds = end - begin }
    }
}

/// What `INFO` of Redis says.
package struct RedisInfo: Sendable, Equatable {
    private var values: [Substring: Substring] = [:]

    package init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { values[parts[0]] = parts[1] }
        }
    }

    package subscript(_ name: String) -> Double? { values[name[...]].flatMap { Double($0) } }

    /// Another one after each start.
    var runID: Substring? { values["run_id"] }

    /// User and system time of all threads, but for what children that write files spend.
    var cpuSeconds: Double? {
        guard let user = self["used_cpu_user"], let system = self["used_cpu_sys"] else { return nil }
        return user + system
    }
}

/// What the load test itself spent.
package struct GeneratorCost: Sendable, Codable, Equatable {
    /// From the first message to the last.
    package var cpuSeconds: Double
    package var deliveries: Int
    package var peakBytes: Int

    package var cpuMicrosecondsPerDelivery: Double? {
        deliveries > 0 ? cpuSeconds * 1e6 / Double(deliveries) : nil
    }
}

/// Numbers of a page in Prometheus' text format, by name; of a name with labels, the sum.
package struct NodeMetrics: Sendable, Equatable {
    private var values: [String: Double] = [:]

    package init(_ page: String) {
        for line in page.split(separator: "\n") where !line.hasPrefix("#") {
            // NAME{LABELS} VALUE [TIME]
            let end = line.firstIndex { $0 == "{" || $0 == " " } ?? line.endIndex
            let rest = line[end...].first == "{" ? line[end...].drop { $0 != "}" }.dropFirst() : line[end...]
            guard let value = rest.split(separator: " ").first.flatMap({ Double($0) }), value.isFinite else { continue }
            values[String(line[..<end]), default: 0] += value
        }
    }

    package subscript(_ name: String) -> Double? { values[name] }
}
