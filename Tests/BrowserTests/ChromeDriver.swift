import Foundation
import Synchronization
import TestSupport

/// A chromedriver of a test's own, and the headless browsers that it runs.
final class ChromeDriver: Sendable {
    private let process: ChildProcess
    private let driver: WebDriver
    private let pages = Mutex<[Page]>([])

    private init(process: ChildProcess, driver: WebDriver) {
        self.process = process
        self.driver = driver
    }

    /// Starts chromedriver, does `work` with it, and ends it and its browsers. When `work` throws, what each page
    /// showed is left as a picture, and its path is printed.
    ///
    /// - Throws: `MissingProgram` when there is no chromedriver, or what `work` throws.
    static func run(_ work: (ChromeDriver) async throws -> Void) async throws {
        let folder = try ScratchFolder("browser")
        let chrome = try await start(in: folder.url)
        do {
            try await work(chrome)
        } catch {
            await chrome.photograph(into: folder.url)
            await chrome.stop()
            throw error
        }
        await chrome.stop()
        folder.remove()
    }

    /// A page in a browser of its own, with its own storage.
    func page(width: Int = 1280, height: Int = 800) async throws -> Page {
        let page = try await Page.open(with: driver, width: width, height: height)
        pages.withLock { $0.append(page) }
        return page
    }

    private static func start(in folder: URL) async throws -> ChromeDriver {
        let process = try ChildProcess(
            "chromedriver", executable: "chromedriver", arguments: ["--port=0"], folder: folder)
        do {
            let port = try await eventually("chromedriver listens") {
                if let ending = process.endingSoFar {
                    return Result<Int, any Error>.failure(
                        WebDriverError(error: "chromedriver ended with \(ending)", message: process.output))
                }
                let found = process.output.firstMatch(of: /started successfully on port (\d+)/)
                return found.flatMap { Int($0.1) }.map { .success($0) }
            }.get()
            return ChromeDriver(process: process, driver: WebDriver(port: port))
        } catch {
            await process.killAndWait()
            throw error
        }
    }

    private func stop() async {
        for page in pages.withLock({ $0 }) { try? await page.close() }
        await process.killAndWait()
    }

    private func photograph(into folder: URL) async {
        for (number, page) in zip(1..., pages.withLock { $0 }) {
            let file = folder.appending(path: "page-\(number).png")
            do {
                try await page.picture().write(to: file)
                print("Page \(number) showed: \(file.path())")
                for line in try await page.log() { print("Page \(number) logged: \(line)") }
            } catch {
                print("Page \(number) could not be photographed: \(error)")
            }
        }
    }
}
