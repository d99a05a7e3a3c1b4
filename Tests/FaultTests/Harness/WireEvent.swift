import ChatProtocol
import Foundation

/// An event as it stands on the wire: read without the product's own parser, field by field.
struct WireEvent {
    private let fields: [String: Any]

    init(_ text: String) throws {
        let json = try JSONSerialization.jsonObject(with: Data(text.utf8))
        guard let fields = json as? [String: Any], fields["type"] is String else { throw NoEvent(text: text) }
        self.fields = fields
    }

    struct NoEvent: Error {
        var text: String
    }

    var type: String { string("type") ?? "" }
    var id: String? { string("id") }
    var node: String? { string("node") }
    var user: String? { string("user") }
    var code: String? { string("code") }
    var recovered: Bool? { fields["recovered"] as? Bool }
    var retryAfter: Duration? { (fields["retry_after"] as? Int).map { .milliseconds($0) } }
    /// Of `reconnect`.
    var delay: Duration { .milliseconds(fields["after"] as? Int ?? 0) }

    func position(_ name: String) -> Position? { string(name).flatMap { Position($0) } }

    var stored: Stored? {
        position("position").map { Stored(position: $0, user: user ?? "", id: id ?? "", text: string("text") ?? "") }
    }

    private func string(_ name: String) -> String? { fields[name] as? String }
}
