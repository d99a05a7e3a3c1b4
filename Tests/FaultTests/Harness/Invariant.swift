import ChatProtocol

/// What must hold whatever fails: acknowledged = stored = received, once, in order, for each member that stayed or
/// resumed; and where something is missing, that the member was told. Judged from what the log holds in the end, what
/// senders were acknowledged, and what each member was told.
struct Invariant {
    struct Member {
        var name: String
        var room: String
        var record: Record
    }

    /// By room, in order.
    var log: [String: [Stored]]
    var sendings: [Sending]
    var members: [Member]
    var fate = LogFate.keeps

    /// What the fault may do to what is stored.
    enum LogFate {
        /// Nothing, so that nobody may be told of a loss.
        case keeps
        /// What was acknowledged may stand elsewhere in the end, after a `rewind`; it is there, and nobody misses it.
        case moves
        /// Some of it may be gone for good, and whoever has not got it must be told.
        case loses
    }

    /// Everything that does not hold, in words.
    func violations() -> [String] {
        log.keys.sorted().flatMap(violationsOfLog) + violationsOfPositions() + violationsOfAcknowledgements()
            + members.flatMap(violations)
    }

    private func violationsOfLog(_ room: String) -> [String] {
        let stored = log[room] ?? []
        var seen: [String: Position] = [:]
        var found: [String] = []
        for message in stored {
            if let first = seen.updateValue(message.position, forKey: message.id) {
                found.append("\(room): \(message.id) is stored twice, at \(first) and \(message.position)")
            }
        }
        for (earlier, later) in zip(stored, stored.dropFirst())
        where earlier.position.epoch == later.position.epoch && later.position.seq != earlier.position.seq + 1 {
            found.append("\(room): the log has a hole between \(earlier.position) and \(later.position)")
        }
        return found
    }

    /// A position stands for one message, for ever and for everybody.
    private func violationsOfPositions() -> [String] {
        var found: [String] = []
        for (room, stored) in log {
            var owners = Dictionary(stored.map { ($0.position, $0.id) }, uniquingKeysWith: { first, _ in first })
            func claim(_ position: Position, _ id: String, _ who: String) {
                let owner = owners[position] ?? id
                owners[position] = owner
                if owner != id { found.append("\(room): \(position) is \(id) for \(who), and \(owner) elsewhere") }
            }
            for sending in sendings where sending.room == room {
                if let position = sending.position { claim(position, sending.id, sending.user) }
            }
            for member in members where member.room == room {
                for case .message(let message) in member.record.entries.map(\.told) {
                    claim(message.position, message.id, member.name)
                }
            }
        }
        return found
    }

    private func violationsOfAcknowledgements() -> [String] {
        var found: [String] = []
        for (room, stored) in log {
            let ids = Set(stored.map(\.id))
            let positions = Dictionary(stored.map { ($0.position, $0.id) }, uniquingKeysWith: { first, _ in first })
            for sending in sendings where sending.room == room {
                guard let position = sending.position else { continue }
                switch fate {
                case .keeps:
                    if positions[position] == sending.id { continue }
                    found.append("\(room): \(sending.id) was acknowledged at \(position) and is not stored there")
                case .moves:
                    if ids.contains(sending.id) { continue }
                    found.append("\(room): \(sending.id) was acknowledged at \(position) and is not stored")
                case .loses: break
                }
                guard !ids.contains(sending.id) else { continue }
                // It is gone: whoever has not got it must know.
                for member in members where member.room == room && !member.record.has(sending.id) {
                    if !member.record.wasToldOfLoss(of: position) {
                        found.append("\(member.name) misses \(sending.id) at \(position) and was not told")
                    }
                }
            }
        }
        return found
    }

    private func violations(of member: Member) -> [String] {
        let stored = log[member.room] ?? []
        let sent = Set(sendings.lazy.filter { $0.room == member.room }.map(\.id))
        var walk = MemberWalk(name: member.name, stored: stored, sent: sent, mayOutliveLog: fate == .loses)
        for entry in member.record.entries { walk.take(entry.told) }
        walk.end()
        var found = walk.violations + member.record.complaints.map { "\(member.name): \($0)" }
        let needless: Record.Told? =
            switch fate {
            case .keeps: member.record.losses.first
            case .moves: member.record.losses.first { if case .gap = $0 { true } else { false } }
            case .loses: nil
            }
        if let needless { found.append("\(member.name) was told of a loss where there was none: \(needless)") }
        return found
    }
}

extension Record {
    fileprivate func has(_ id: String) -> Bool {
        entries.contains { if case .message(let message) = $0.told { message.id == id } else { false } }
    }

    fileprivate func wasToldOfLoss(of position: Position) -> Bool {
        var last = Position.zero
        for entry in entries {
            switch entry.told {
            case .message(let message): last = message.position
            case .gap(let after, let before):
                if after < position, before.map({ position < $0 }) ?? true { return true }
            case .rewind(let to):
                if to < position { return true }
                last = to
            case .joined(let head, let recovered):
                if recovered == false, last < position { return true }
                if recovered == nil { last = head }
            }
        }
        return false
    }
}
