import Foundation
import TestSupport

/// One browser with one page.
struct Page: Sendable {
    private let driver: WebDriver
    private let session: String

    static func open(with driver: WebDriver, width: Int, height: Int) async throws -> Page {
        let arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
            "--window-size=\(width),\(height)",
        ]
        let options: [String: any Sendable] = ["args": arguments]
        let wanted: [String: any Sendable] = [
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": ["browser": "ALL"],
        ]
        let opened = try await driver.call(
            "POST", "session", ["capabilities": ["alwaysMatch": wanted] as [String: any Sendable]], as: Session.self)
        let page = Page(driver: driver, session: "session/\(opened.sessionId)")
        // A headless window has a least width of its own; what the page sees has not.
        let metrics: [String: any Sendable] = [
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        ]
        let _: Nothing = try await page.post(
            "goog/cdp/execute", ["cmd": "Emulation.setDeviceMetricsOverride", "params": metrics])
        return page
    }

    func close() async throws {
        let _: Nothing = try await driver.call("DELETE", session)
    }

    func visit(_ url: String) async throws {
        let _: Nothing = try await post("url", ["url": url])
    }

    func reload() async throws {
        let _: Nothing = try await post("refresh", [:])
    }

    /// Runs the body of a function in the page; `arguments[0]` and so on are the arguments.
    func evaluate<Value: Decodable & Sendable>(
        _ script: String, _ arguments: String..., as type: Value.Type = Value.self
    ) async throws -> Value {
        try await post("execute/sync", ["script": script, "args": arguments])
    }

    /// Runs the body of a function in the page, whatever it returns.
    func run(_ script: String, _ arguments: String...) async throws {
        let _: Nothing = try await post("execute/sync", ["script": script, "args": arguments])
    }

    /// Runs the body of an async function in the page.
    func evaluateAsync<Value: Decodable & Sendable>(
        _ script: String, as type: Value.Type = Value.self
    ) async throws -> Value {
        let wrapped = """
            const answer = arguments[arguments.length - 1];
            (async () => { \(script) })().then(answer, (error) => answer([`${error}\\n${error.stack}`]));
            """
        return try await post("execute/async", ["script": wrapped, "args": [String]()])
    }

    /// Waits until an expression in the page is true.
    func until(_ what: String, _ expression: String, _ arguments: String...) async throws {
        try await eventually(what) {
            let isTrue: Bool = try await post(
                "execute/sync", ["script": "return Boolean(\(expression))", "args": arguments])
            return isTrue ? true : nil
        }
    }

    /// Presses keys where the selector points, as a person would.
    func type(_ keys: String, into selector: String) async throws {
        let element = try await find(selector)
        let _: Nothing = try await post("element/\(element)/value", ["text": keys])
    }

    func click(_ selector: String) async throws {
        let element = try await find(selector)
        let _: Nothing = try await post("element/\(element)/click", [:])
    }

    /// A PNG of what can be seen.
    func picture() async throws -> Data {
        let base64: String = try await driver.call("GET", "\(session)/screenshot")
        guard let data = Data(base64Encoded: base64) else {
            throw WebDriverError(error: "unknown error", message: "no picture")
        }
        return data
    }

    /// What the page's console says: errors, refused loads, violations of the content security policy.
    func log() async throws -> [String] {
        struct Line: Decodable { let message: String }
        let lines: [Line] = try await post("se/log", ["type": "browser"])
        return lines.map(\.message)
    }

    private func find(_ selector: String) async throws -> String {
        let found: Element = try await post("element", ["using": "css selector", "value": selector])
        return found.id
    }

    private func post<Value: Decodable>(_ path: String, _ body: [String: any Sendable]) async throws -> Value {
        try await driver.call("POST", "\(session)/\(path)", body)
    }
}

/// Keys that have no character (WebDriver, section "Keyboard actions").
enum Key {
    static let enter = "\u{E007}"
    static let backspace = "\u{E003}"
}

private struct Session: Decodable {
    let sessionId: String
}

private struct Element: Decodable {
    let id: String

    /// WebDriver's name for a reference to an element.
    private enum CodingKeys: String, CodingKey {
        case id = "element-6066-11e4-a52e-4f735466cecf"
    }
}
