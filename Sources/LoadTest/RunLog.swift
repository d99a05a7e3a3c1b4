import Histogram
import NIOCore

/// Looks at a run ten times a second and writes down what it sees: for those who look on, for the plots, and for the
/// question how long a fault was felt.
struct RunLog {
    private static let pace = Duration.milliseconds(100)
    /// A plot needs no more.
    private static let steps = 300.0

    private let plan: LoadPlan
    private let interval: Duration
    private let stepLength: Duration
    private let shards: [ShardReference]
    private let tell: @Sendable (LoadEvent) -> Void

    /// Of connecting, then of the messages.
    private(set) var start = ContinuousClock.now
    private(set) var steps: [LoadReport.Step] = []
    private(set) var health = HealthLog()
    /// When it was known that rooms knew of a lost user, and how long that took; in seconds.
    private(set) var presence: [(second: Double, took: Double)] = []
    private(set) var counts = LoadCounts()
    private var isTraffic = false
    private var connectedByNode: [String: Int] = [:]
    private var recent = LatencySpread.histogram()
    private var sinceStep = LatencySpread.histogram()
    private var lastProgress = ContinuousClock.now
    private var lastStep = ContinuousClock.now
    private var progressCounts = LoadCounts()
    private var stepCounts = LoadCounts()

    init(
        plan: LoadPlan, interval: Duration, shards: [ShardReference], tell: @escaping @Sendable (LoadEvent) -> Void
    ) {
        self.plan = plan
        self.interval = interval
        self.shards = shards
        self.tell = tell
        stepLength = max(.milliseconds(500), plan.duration / Self.steps)
    }

    /// The first message goes out.
    mutating func begin() {
        isTraffic = true
        start = .now
        lastStep = start
        lastProgress = start
        stepCounts = counts
        progressCounts = counts
    }

    /// Waits for its turn, then looks.
    ///
    /// - Returns: whether all clients are there.
    @discardableResult
    mutating func look(_ phase: LoadProgress.Phase) async throws -> Bool {
        try await Task.sleep(for: Self.pace)
        var whole = LoadCounts()
        var (connected, ghosts, oldest) = (0, 0, TimeAmount.zero)
        connectedByNode = [:]
        let now = ContinuousClock.now
        let second = (now - start).inSeconds
        for glance in try await shards.mapOnLoop({ $0.look() }) {
            whole += glance.counts
            connected += glance.connected
            ghosts += glance.ghosts
            oldest = max(oldest, glance.oldest)
            connectedByNode.merge(glance.connectedByNode, uniquingKeysWith: +)
            presence += glance.presence.map { (second, $0) }
        }
        counts = whole
        let isComplete = connected + ghosts >= plan.clients
        if isTraffic {
            health.look(at: second, isComplete: isComplete, oldest: oldest, connects: whole.connects)
        }
        guard now - lastProgress >= interval || now - lastStep >= stepLength else { return isComplete }
        for part in try await shards.mapOnLoop({ $0.takeRecent() }) {
            recent.add(part)
            sinceStep.add(part)
        }
        if isTraffic, now - lastStep >= stepLength { finishStep(at: now) }
        if now - lastProgress >= interval { tellProgress(phase, connected, at: now) }
        return isComplete
    }

    /// What has come since the last step is a step, however short.
    mutating func finishStep() { finishStep(at: .now) }

    private mutating func finishStep(at now: ContinuousClock.Instant) {
        let length = (now - lastStep).inSeconds
        guard length > 0.05 else { return }
        steps.append(
            LoadReport.Step(
                second: (now - start).inSeconds, length: length, sent: counts.sent - stepCounts.sent,
                acknowledged: counts.acknowledged - stepCounts.acknowledged,
                delivered: counts.deliveries.delivered - stepCounts.deliveries.delivered,
                connects: counts.connects - stepCounts.connects, connected: connectedByNode,
                latency: LatencySpread(sinceStep)))
        sinceStep.reset()
        stepCounts = counts
        lastStep = now
    }

    private mutating func tellProgress(
        _ phase: LoadProgress.Phase, _ connected: Int, at now: ContinuousClock.Instant
    ) {
        let length = max((now - lastProgress).inSeconds, 0.001)
        let second = (now - start).inSeconds
        tell(
            .progress(
                LoadProgress(
                    phase: phase, seconds: second,
                    fraction: isTraffic ? min(second / plan.duration.inSeconds, 1) : 0, clients: plan.clients,
                    counts: counts, connected: connected, connectedByNode: connectedByNode,
                    sentRate: Double(counts.sent - progressCounts.sent) / length,
                    deliveryRate: Double(counts.deliveries.delivered - progressCounts.deliveries.delivered) / length,
                    latency: LatencySpread(recent))))
        recent.reset()
        progressCounts = counts
        lastProgress = now
    }
}
