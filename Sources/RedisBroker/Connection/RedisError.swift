import ChatHub

/// What Redis' error answers mean to us.
enum RedisError {
    /// Errors that say "not now" or "not here": they pass when an operator or a failover has done its work.
    private static let passing = [
        "LOADING", "BUSY", "OOM", "MISCONF", "READONLY", "MASTERDOWN", "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM",
        "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK",
    ]

    static func isPassing(_ text: String) -> Bool { passing.contains(code(of: text)) }

    /// The connection itself is of no use any more: another Redis, or another login, is needed.
    static func endsConnection(_ text: String) -> Bool { ["READONLY", "NOAUTH"].contains(code(of: text)) }

    static func isMissingScript(_ text: String) -> Bool { code(of: text) == "NOSCRIPT" }

    static func brokerError(_ text: String) -> BrokerError {
        BrokerError(code: isPassing(text) ? .unavailable : .malformed, message: trimmed(text))
    }

    /// The first line, without what would flood a log.
    static func trimmed(_ text: String) -> String {
        String(text.prefix(while: { !$0.isNewline }).prefix(200))
    }

    /// The first word.
    static func code(of text: String) -> String { String(text.prefix(while: { $0 != " " && !$0.isNewline })) }
}

extension BrokerError {
    static func unavailable(_ message: String) -> BrokerError { BrokerError(code: .unavailable, message: message) }
    static func malformed(_ message: String) -> BrokerError { BrokerError(code: .malformed, message: message) }
}
