import Foundation
import TestSupport

/// The little of the WebDriver protocol (W3C) that the stories need.
struct WebDriver: Sendable {
    let port: Int

    /// One command.
    ///
    /// - Parameters:
    ///   - path: Without the leading slash.
    ///   - body: JSON; nil for commands without parameters.
    /// - Throws: ``WebDriverError`` with what the driver answered.
    func call<Value: Decodable>(
        _ method: String, _ path: String, _ body: [String: any Sendable]? = nil, as type: Value.Type = Value.self
    ) async throws -> Value {
        let json =
            try body.map { String(decoding: try JSONSerialization.data(withJSONObject: $0), as: UTF8.self) } ?? ""
        let answer = try await HTTPProbe.send(
            """
            \(method) /\(path) HTTP/1.1\r
            Host: 127.0.0.1:\(port)\r
            Content-Type: application/json; charset=utf-8\r
            Content-Length: \(json.utf8.count)\r
            Connection: close\r
            \r
            \(json)
            """, port: port)
        let data = Data(answer.body.utf8)
        guard answer.status == 200 else {
            throw try JSONDecoder().decode(Answer<WebDriverError>.self, from: data).value
        }
        return try JSONDecoder().decode(Answer<Value>.self, from: data).value
    }
}

/// What the driver says when a command fails.
struct WebDriverError: Error, Decodable, CustomStringConvertible {
    let error: String
    let message: String

    var description: String { "\(error): \(message)" }
}

/// The answer to a command that has nothing to tell.
struct Nothing: Decodable {
    init(from decoder: any Decoder) {}
}

private struct Answer<Value: Decodable>: Decodable {
    let value: Value
}
