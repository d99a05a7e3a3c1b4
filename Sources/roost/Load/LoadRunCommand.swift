import ArgumentParser
import Foundation
import LoadTest

/// `roost load`, or `roost load run`: one load test.
struct LoadRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Load a cluster, and prove what was delivered (what roost load does by itself).",
        discussion: """
            Members of rooms send in turn, and every receiver checks every message. Latencies count from the moment at \
            which a message was due, so that a node that stalls is charged for what waited. Exits with 1 when anything \
            was missing without a word, doubled, out of order or refused, with 2 when the test could not be done, with 64 \
            when a flag is wrong.
            """)

    @OptionGroup var options: LoadOptions
    @OptionGroup var outputs: LoadOutputs

    func validate() throws {
        _ = try options.plan()
    }

    func run() async throws {
        var plan = try options.plan()
        do {
            try plan.check(descriptors: FileDescriptorLimit.raise())
        } catch let error as InvalidPlan {
            throw ValidationError("\(error)")
        }
        plan.token = try await options.signing(for: plan)
        var metrics = try options.metricsPages()
        let screen = LoadScreen()
        var cluster: LocalCluster?
        let result: Result<LoadReport, any Error>
        do {
            if let nodes = options.localNodes {
                screen.show(.note("starting Redis, \(nodes) gateways\(options.noBalancer ? "" : " and HAProxy")"))
                let started = try await LocalCluster.start(
                    nodes: nodes, executable: Self.executable, hasBalancer: !options.noBalancer)
                cluster = started
                plan.addresses = try await started.addresses()
                metrics = try await started.metrics()
            }
            var run = LoadRun(plan)
            run.performer = cluster
            run.metrics = metrics
            if let cluster { run.redisInfo = { await cluster.redisInfo() } }
            run.interval = screen.interval
            var report = try await run.run { screen.show($0) }
            report.scenario = options.scenario?.rawValue
            result = .success(report)
        } catch {
            result = .failure(error)
        }
        screen.end()
        await cluster?.stop()
        switch result {
        case .success(let report):
            try outputs.write(report)
        case .failure(let error as LoadRunError):
            OutputLines.write("error: \(error)")
            throw ExitCode(2)
        case .failure(let error):
            throw error
        }
    }

    /// This program, which can serve, too.
    private static var executable: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? Bundle.main.executablePath ?? CommandLine.arguments[0]
    }
}
