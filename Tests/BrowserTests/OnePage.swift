import TestSupport
import Testing

/// Gives a whole suite one gateway without Redis and one page of it.
struct OnePage: SuiteTrait, TestScoping {
    @TaskLocal static var current: Page?

    /// Around the suite, not around each of its tests.
    var isRecursive: Bool { false }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let folder = try ScratchFolder("one-page")
        defer { folder.remove() }
        let gateway = try await GatewayProcess.start(node: "alone", redis: nil, folder: folder.url)
        do {
            try await gateway.ready()
            try await ChromeDriver.run { chrome in
                let page = try await chrome.page()
                try await page.visit(Page.address(gateway.url))
                try await Self.$current.withValue(page) { try await function() }
            }
            await gateway.kill()
        } catch {
            await gateway.kill()
            throw error
        }
    }
}

extension SuiteTrait where Self == OnePage {
    static var onePage: OnePage { OnePage() }
}
