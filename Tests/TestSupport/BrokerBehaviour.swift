package import ChatHub
package import ChatProtocol
import NIOCore
import NIOPosix

/// What every broker does, as stories: held against `MemoryBroker` and `RedisBroker` alike.
///
/// Each story takes two nodes of one store; a broker that has only one node takes both parts.
package enum BrokerBehaviour: String, CaseIterable, Sendable, CustomStringConvertible {
    case allNodesHearOneOrder = "messages of two nodes are heard by both in the order of the log, without a hole"
    case firstPosition = "a room's first message has SEQ 1 and an epoch greater than the caller knows"
    case forgottenLog = "a log older than what the caller knows goes on in a new epoch"
    case rewoundLog = "a log that ends before the position that the caller knows goes on in a new epoch"
    case groupInOrder = "messages of one turn are stored in order, and a publication says what was before it"
    case anyBytes = "bodies of any bytes and sizes come back as they were"
    case retryOfStored = "a retry of a stored message is acknowledged with its first position and not heard again"
    case retryFirst = "a late original after its stored retry is recognised"
    case retriesTogether = "copies marked as retries in one turn are stored once, unmarked ones each time"
    case retryWithoutIdentity = "a retry without identity is stored"
    case exception = "the session that does not want its own message is named in the publication"
    case readAfter =
        "reading after a position tells what follows, whether there is more and whether something is missing"
    case readAcrossEpochs = "a reader learns where the log knew its position last, and what a newer epoch begins with"
    case readLatest = "the latest messages come oldest first, also before a position"
    case ends = "many logs are asked where they end in one call, and those that end as expected say no more"
    case restoredTail = "what a log lost is given back at its positions, once, and then a new epoch begins"
    case brokenTail = "where only a part of what was lost is given back it does not leave a hole"
    case forkedTail = "what was given back by one is not given back again by another who has it under newer positions"
    case movedTail = "what a log went on without is given back under new positions, once, whoever gives it"
    case partedTail = "what would follow a log of another history is given back behind it, or not at all"
    case signals = "signals are heard with their origin and never stored"
    case firstAndLast = "a user is announced at the first session and at the last, on whatever node"
    case enterTwice = "entering twice and leaving twice count once"
    case crowd = "a newcomer to a crowd is told one hundred members, itself among them"
    case together = "sessions that enter and leave together count as if one by one"
    case crowdCounts = "what happens in a crowd is announced as a count, and its roster is a number"
    case memberPages = "members come in pages sorted by bytes"
    case ordersAreHeard = "an order is heard by all nodes as it was given, and so is the answer to it"
    case ordersAreWrittenDown = "orders can be read later, the newest on each subject, and only when there is a new one"
    case bansAndMutes = "who is banned can neither enter nor post, who is muted cannot post, until it is lifted"
    case memberLimit = "as many users as may be enter a room, together on all nodes, and a place that is left is free"
    case slowMode = "in slow mode each user's messages are so far apart, a repetition excepted"
    case messageRate = "a room takes a burst of all users together and no more"
    case roomRules = "a room's rules are told as they were set, and only those that there still are"
    case unsubscribed = "an unsubscribed room is silent, and subscribing again is confirmed again"

    package var description: String { rawValue }

    /// Tells the story; throws where it goes wrong.
    package func check(_ first: BrokerNode, _ second: BrokerNode) async throws {
        let room = try require(RoomName("room-\(SessionID.random())"), "a room name")
        switch self {
        case .allNodesHearOneOrder: try await allNodesHearOneOrder(first, second, room)
        case .firstPosition: try await firstPosition(first, room)
        case .forgottenLog: try await forgottenLog(first, room)
        case .rewoundLog: try await rewoundLog(first, second, room)
        case .groupInOrder: try await groupInOrder(first, second, room)
        case .anyBytes: try await anyBytes(first, second, room)
        case .retryOfStored: try await retryOfStored(first, second, room)
        case .retryFirst: try await retryFirst(first, second, room)
        case .retriesTogether: try await retriesTogether(first, room)
        case .retryWithoutIdentity: try await retryWithoutIdentity(first, room)
        case .exception: try await exception(first, second, room)
        case .readAfter: try await readAfter(first, second, room)
        case .readAcrossEpochs: try await readAcrossEpochs(first, second, room)
        case .readLatest: try await readLatest(first, room)
        case .ends: try await ends(first, second, room)
        case .restoredTail: try await restoredTail(first, second, room)
        case .brokenTail: try await brokenTail(first, second, room)
        case .forkedTail: try await forkedTail(first, second, room)
        case .movedTail: try await movedTail(first, second, room)
        case .partedTail: try await partedTail(first, second, room)
        case .signals: try await signals(first, second, room)
        case .firstAndLast: try await firstAndLast(first, second, room)
        case .enterTwice: try await enterTwice(first, second, room)
        case .crowd: try await crowd(first, room)
        case .together: try await together(first, second, room)
        case .crowdCounts: try await crowdCounts(first, second, room)
        case .memberPages: try await memberPages(first, second, room)
        case .ordersAreHeard: try await ordersAreHeard(first, second, room)
        case .ordersAreWrittenDown: try await ordersAreWrittenDown(first, second, room)
        case .bansAndMutes: try await bansAndMutes(first, second, room)
        case .memberLimit: try await memberLimit(first, second, room)
        case .slowMode: try await slowMode(first, second, room)
        case .messageRate: try await messageRate(first, second, room)
        case .roomRules: try await roomRules(first, second, room)
        case .unsubscribed: try await unsubscribed(first, second, room)
        }
    }
}

/// A broker does not behave as it should.
package struct Misbehaviour: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

/// Throws ``Misbehaviour`` unless both are equal.
package func expectEqual<Value: Equatable>(
    _ found: Value, _ wanted: Value, _ what: String, line: UInt = #line
) throws {
    guard found == wanted else {
        throw Misbehaviour(description: "line \(line): \(what): \(found) instead of \(wanted)")
    }
}

package func expect(_ condition: Bool, _ what: String, line: UInt = #line) throws {
    guard condition else { throw Misbehaviour(description: "line \(line): not so: \(what)") }
}

package func require<Value>(_ value: Value?, _ what: String, line: UInt = #line) throws -> Value {
    guard let value else { throw Misbehaviour(description: "line \(line): there is no \(what)") }
    return value
}

extension Draft {
    /// A message as gateways render it, in short.
    package static func test(
        _ text: String, id: String? = nil, user: String = "alice", isRetry: Bool = false, exceptFor: SessionID? = nil
    ) -> Draft {
        let identity = id.map { "{\"user\":\"\(user)\",\"id\":\"\($0)\"" }
        let body = (identity ?? "{\"user\":\"\(user)\"") + ",\"text\":\"\(text)\"}"
        return Draft(
            body: ByteBuffer(string: body), identityLength: identity?.utf8.count, isRetry: isRetry,
            exceptFor: exceptFor)
    }
}

extension LogSlice {
    package var texts: [String] { entries.map { String(buffer: $0.body) } }
}
