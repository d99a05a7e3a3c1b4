import ChatProtocol
import Foundation
import TestSupport
import Testing

/// A fault, under traffic, and what must hold after it.
struct Row {
    let section: FaultTable.Section
    /// What fails, and what a client sees: as in the table of the README.
    let fault: String
    let seen: String
    var plan = Traffic.Plan()
    var fate = Invariant.LogFate.keeps
    /// Whose connections may end.
    var leaving = Leaving.nobody
    /// Users may be said to have gone: they were away for longer than presence waits.
    var mayBeGone = false
    /// Gateways answer every message in time, if only by a refusal. (Not one that was stopped.)
    var answersInTime = true
    /// Files that a gateway may have open more than before.
    var spareFiles = 6

    enum Leaving: Equatable {
        case nobody
        case those(on: String)
        case anybody
    }

    /// A node must answer within 5 s; the tests' own machine may be very busy.
    private static let answerLimit = Duration.seconds(12)

    /// - Parameter inject: Injects the fault and lifts it, while messages flow.
    @discardableResult
    func run(_ inject: (Stage, Traffic) async throws -> Void) async throws -> Traffic {
        let stage = try #require(Stage.current, "the suite has no stage")
        do {
            try await stage.makeWhole()
            let traffic = try await act(on: stage, inject)
            return traffic
        } catch {
            stage.printOutput()
            throw error
        }
    }

    private func act(on stage: Stage, _ inject: (Stage, Traffic) async throws -> Void) async throws -> Traffic {
        let files = stage.gateways.map(\.openFiles)
        let traffic = try await Traffic.run("row-\(stage.nextNumber())", on: stage, plan) {
            try await inject(stage, $0)
        }
        do {
            let log = try await drained(traffic, on: stage)
            try report(traffic)
            judge(traffic, log, on: stage)
            try await checkPresence(of: traffic, on: stage)
        } catch {
            await traffic.leave()
            throw error
        }
        await traffic.leave()
        for (gateway, before) in zip(stage.gateways, files) {
            try await eventually("\(gateway.node) has no more files open than before: \(before)") {
                gateway.openFiles <= before + spareFiles ? true : nil
            }
        }
        for room in traffic.rooms {
            try await eventually("nobody listens to \(room)") {
                try await stage.store.listeners(of: room) == 0 ? true : nil
            }
        }
        return traffic
    }

    /// All members stand at the end of their rooms' logs; these.
    private func drained(_ traffic: Traffic, on stage: Stage) async throws -> [String: [Stored]] {
        var log: [String: [Stored]] = [:]
        for room in traffic.rooms { log[room] = try await stage.log(of: room) }
        let all = log
        // Who does not get there has a violation to be named.
        _ = try? await eventually("everybody is at the end of the log", within: .seconds(30)) {
            traffic.members.allSatisfy { member in
                (member.record.last ?? .zero) >= (all[member.room]?.last?.position ?? .zero)
            } ? true : nil
        }
        return log
    }

    private func judge(_ traffic: Traffic, _ log: [String: [Stored]], on stage: Stage) {
        let members = traffic.members
        let invariant = Invariant(log: log, sendings: traffic.sendings, members: members, fate: fate)
        var violations = invariant.violations()
        violations += violationsOfSessions(members)
        if answersInTime, traffic.slowestAnswer > Self.answerLimit {
            violations.append("an answer took \(traffic.slowestAnswer)")
        }
        let wrong = traffic.refusals.filter { $0.key != "unavailable" }
        if !wrong.isEmpty { violations.append("messages were refused otherwise than by 'unavailable': \(wrong)") }
        for violation in violations.prefix(12) { Issue.record("\(fault): \(violation)") }
        if violations.count > 12 { Issue.record("\(fault): and \(violations.count - 12) more") }
        guard !violations.isEmpty else { return }
        for member in members where violations.contains(where: { $0.hasPrefix(member.name) }) {
            print("---- \(member.name): \(member.record.connections), \(member.record.endings)")
            print(member.record.entries.prefix(8).map { "  \($0.told)" }.joined(separator: "\n"))
        }
        stage.printOutput()
    }

    private func violationsOfSessions(_ members: [Invariant.Member]) -> [String] {
        var violations: [String] = []
        let names = Set(members.map(\.name))
        for member in members {
            let record = member.record
            let mayLeave =
                switch leaving {
                case .nobody: false
                case .those(let node): record.connections.first == node
                case .anybody: true
                }
            if !mayLeave, record.connections.count != 1 || !record.endings.isEmpty {
                violations.append("\(member.name) lost its connection: \(record.endings)")
            }
            let gone = Set(record.gone).intersection(names).sorted()
            if !mayBeGone, !gone.isEmpty { violations.append("\(member.name) was told that \(gone) had gone") }
        }
        return violations
    }

    /// Who is in a room is known on all gateways.
    private func checkPresence(of traffic: Traffic, on stage: Stage) async throws {
        for gateway in stage.gateways where gateway.ending == nil {
            // Refused with 503 while the gateway finds its way back to Redis.
            let guest = try await eventually("\(gateway.node) lets a guest in") {
                try await Guest.connect("\(traffic.rooms[0])-asks", port: gateway.port)
            }
            for (room, users) in traffic.users {
                var found: Set<String> = []
                do {
                    try await eventually("who is in \(room), according to \(gateway.node)", within: .seconds(20)) {
                        let id = UUID().uuidString
                        try await guest.send(#"{"type":"members","id":"\#(id)","room":"\#(room)","limit":1000}"#)
                        found = Set(try await guest.event("members") { $0.id == id }.members ?? [])
                        return found == users ? true : nil
                    }
                } catch {
                    let missing = users.subtracting(found).sorted()
                    let extra = found.subtracting(users).sorted()
                    Issue.record(
                        "\(fault): in \(room), says \(gateway.node), \(missing) are missing, \(extra) too many")
                }
            }
            try await guest.close()
        }
    }

    private func report(_ traffic: Traffic) throws {
        let silence = traffic.longestSilence
        try FaultTable.shared.add(
            .init(section: section, fault: fault, seen: seen, healed: traffic.healing, silence: silence))
        let losses = traffic.members.map(\.record.losses.count).reduce(0, +)
        print(
            "fault: \(fault): healed after \(traffic.healing.map { "\($0)" } ?? "-"), longest silence \(silence),",
            "slowest answer \(traffic.slowestAnswer); \(traffic.sendings.count) sent,",
            "\(traffic.members.map(\.record.messages).reduce(0, +)) delivered,",
            "\(traffic.refusals.values.reduce(0, +)) refused, \(traffic.reconnects) reconnects, \(losses) losses told")
    }
}
