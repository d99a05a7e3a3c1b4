package import Foundation

/// `redis-cli`, as tests use it.
package enum RedisCLI {
    /// Runs it once. What it prints into a pipe.
    ///
    /// - Throws: ``ProgramFailure`` when it does not exit with 0.
    package static func run(_ arguments: [String], folder: URL) async throws -> String {
        let client = try ChildProcess("redis-cli", executable: "redis-cli", arguments: arguments, folder: folder)
        let ending = await client.end()
        let output = client.output.trimmingCharacters(in: .newlines)
        guard ending == .exited(0) else {
            throw ProgramFailure(description: "redis-cli \(arguments.joined(separator: " ")): \(ending) \(output)")
        }
        return output
    }
}

/// A program that a test ran did not end well. Unlike ``Impatience``, trying again may help.
package struct ProgramFailure: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}
