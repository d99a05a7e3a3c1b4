import ChatProtocol
import NIOCore

@testable import ChatHub

/// The end of a schedule, and what was promised about it.
extension RandomSchedule {
    /// Everything works again, and what was promised is looked at.
    func heal() {
        note("everything heals")
        for (number, node) in cluster.nodes.enumerated() {
            for link in node.broker.links {
                while link.hasOrphans { link.executeOrphan() }
                if !link.isUp || link.store !== cluster.store { cluster.reconnect(link) }
            }
            if node.broker.source == nil || node.broker.source !== cluster.store { cluster.resubscribe(number) }
        }
        cluster.run()
        for client in clients {
            if client.session?.isEnded == true { cluster.disconnect(client) }
            if client.session == nil { connect(client) }
            cluster.becomesWritable(client)
        }
        for _ in 0..<4 {
            cluster.advance(by: .seconds(2))
            for client in clients {
                if !client.isJoined { cluster.join(client) }
                for id in client.unacknowledged { send(id, from: client, isRetry: true) }
                cluster.run()
            }
        }
        cluster.advance(by: .seconds(3))
    }

    func check() {
        let log = cluster.log
        let texts = cluster.texts
        var places: [Position: Int] = [:]
        for (index, entry) in log.enumerated() {
            places[entry.position] = index
            saw(entry.position, texts[index])
        }
        note("the log has \(zip(log, texts).map { "\($0.position) \($1)" })")
        let stored = Set(texts)
        // A log that was deleted or trimmed cannot know what it held.
        if stored.count < texts.count, !kind.hasLosses { complain("stored twice: \(texts)") }
        for id in acknowledged.subtracting(stored).sorted() where !forgotten.contains(id) {
            if !kind.hasFailovers { complain("\(id) was acknowledged and is not in the log") }
        }
        if !kind.hasSmallTails {
            for (ids, node, room) in held where cluster.nodes[node].directory.rooms[cluster.room] === room {
                for id in ids.subtracting(stored).subtracting(forgotten).sorted() {
                    complain("\(id) was held by \(node) and is not in the log")
                }
            }
        }
        for client in clients {
            check(client, places)
            if !client.unacknowledged.isEmpty { complain("\(client.user) still waits: \(client.unacknowledged)") }
        }
    }

    private func check(_ client: SimulatedClient, _ places: [Position: Int]) {
        guard client.isJoined else { return complain("\(client.user) could not join") }
        note("\(client.user) has \(client.start.map { "\($0)" } ?? "-") \(client.texts)")
        // The place in the log of what the client had last; nil where something may be missing.
        var before: Int? = client.start.flatMap { start in
            start == .zero ? -1 : places[start]
        }
        var mayMiss = client.start == nil || (before == nil)
        var toldUpTo = Position.zero
        var pendingVoid: String?
        for item in client.items {
            switch item {
            case .loss(let told, let position):
                if !kind.hasFailovers, !kind.isVaried { complain("\(client.user) was told without reason: \(told)") }
                mayMiss = true
                toldUpTo = max(toldUpTo, position)
                pendingVoid = nil
            case .message(let position, let id):
                guard let place = places[position] else {
                    pendingVoid = id
                    mayMiss = true
                    continue
                }
                if !mayMiss, !hasLostLogs, lacks(between(before, place), client, toldUpTo) {
                    complain("\(client.user) lacks what stands before \(id) at \(position)")
                }
                before = place
                mayMiss = false
            }
        }
        if let pendingVoid, !hasLostLogs {
            complain("\(client.user) has \(pendingVoid), which is void, and was not told")
        }
        if !mayMiss, lacks(between(before, cluster.log.count), client, toldUpTo) {
            complain("\(client.user) has not got the last messages")
        }
    }

    private func between(_ before: Int?, _ place: Int) -> Range<Int> {
        let next = (before ?? -1) + 1
        return next..<max(next, place)
    }

    /// Whether a client should have been told that these are missing.
    private func lacks(_ missing: Range<Int>, _ client: SimulatedClient, _ toldUpTo: Position) -> Bool {
        let log = cluster.log
        return missing.contains { place in
            if log[place].position <= toldUpTo { return false }
            return client.wantsEcho || authors[SimulatedCluster.text(of: log[place])] != client.user
        }
    }
}
