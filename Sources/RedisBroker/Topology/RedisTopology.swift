import Logging
import NIOCore

/// How Redis is laid out, in connections: what the event loops' commands go through, what listens, and who finds out where
/// all of it is.
///
/// `@unchecked Sendable`: made at once and never changed; each part is used on its own loop only.
final class RedisTopology: @unchecked Sendable {
    /// Who finds out where Redis is.
    private enum Guide {
        case none
        case sentinels(SentinelGuide)
        case cluster(ClusterGuide)
    }

    /// In the order of the loops.
    let routes: [any RedisRoute]
    let listener: any RedisListening
    /// Of the probes of a cluster's shards.
    let delays = ShardDelays()
    private let guide: Guide

    /// - Parameters:
    ///   - loops: the first one is the broker's.
    ///   - counters: of the broker's loop, and of each loop.
    init(
        _ links: RedisLinks, loops: [any EventLoop], probeID: String,
        counters: (own: RedisCounters, loops: [RedisCounters])
    ) {
        let configuration = links.configuration
        let logger = links.logger
        let loop = loops[0]
        let own = counters.own
        func subscriber(_ target: RedisLink.Target, _ commands: any RedisRoute) -> RedisSubscriber {
            RedisSubscriber(
                link: links.store(on: loop, to: target, role: "subscription", isSubscription: true, counters: own),
                commands: commands, configuration: configuration, probeID: probeID, counters: own, logger: logger)
        }
        func single(_ target: RedisLink.Target) -> ([RedisLink], RedisSubscriber) {
            let all = zip(loops, counters.loops).enumerated().map { number, pair in
                links.store(on: pair.0, to: target, role: "\(number)", isSubscription: false, counters: pair.1)
            }
            return (all, subscriber(target, all[0]))
        }

        switch configuration.url.topology {
        case .single(let endpoint):
            let (all, listening) = single(.fixed(endpoint))
            routes = all
            listener = listening
            guide = .none

        case .sentinel(let name, let sentinels):
            let made = SentinelGuide(
                name: name, sentinels: sentinels, eventLoop: loop, counters: own, logger: logger
            ) { endpoint in
                links.guide(
                    on: loop, to: .fixed(endpoint), url: configuration.url.ofSentinels,
                    patience: SentinelGuide.patience, counters: own)
            }
            let (all, listening) = single(.asked { made.primary(for: $0) })
            let confined = all.map { Confined($0, on: $0.eventLoop) }
            made.moved = { [weak listening] place in
                for one in confined { one.run { $0.moved(to: place) } }
                listening?.moved(to: place)
            }
            routes = all
            listener = listening
            guide = .sentinels(made)

        case .cluster(let seeds):
            let made = ClusterGuide(
                seeds: seeds, usesTLS: configuration.url.usesTLS, eventLoop: loop, counters: own, logger: logger
            ) { target in
                links.guide(
                    on: loop, to: target, url: configuration.url, patience: ClusterGuide.patience, counters: own)
            }
            let all = zip(loops, counters.loops).enumerated().map { number, pair in
                ClusterRoute(eventLoop: pair.0, timeout: configuration.commandTimeout, counters: pair.1) { endpoint in
                    links.store(
                        on: pair.0, to: .fixed(endpoint), role: "\(number)", isSubscription: false, counters: pair.1)
                }
            }
            let listening = ClusterSubscriber(
                eventLoop: loop, keys: Keys(prefix: configuration.prefix), probeID: probeID, delays: delays
            ) { [first = all[0]] endpoint in subscriber(.fixed(endpoint), first) }
            let confined = all.map { Confined($0, on: $0.eventLoop) }
            for route in all {
                route.doubted = { [weak made] in
                    guard let made else { return }
                    loop.execute { made.doubted() }
                }
            }
            listening.doubted = { [weak made] in made?.doubted() }
            made.changed = { [weak listening] table in
                for one in confined { one.run { $0.adopt(table) } }
                listening?.adopt(table)
            }
            made.failed = { reason in
                for one in confined { one.run { $0.unknown(reason) } }
            }
            made.isTroubled = { [weak first = all[0], weak listening] in
                first?.isTroubled == true || listening?.isTroubled == true
            }
            routes = all
            listener = listening
            guide = .cluster(made)
        }
    }

    /// On the broker's loop.
    func start() {
        switch guide {
        case .none: break
        case .sentinels(let guide): guide.start()
        case .cluster(let guide): guide.start()
        }
    }

    /// On the broker's loop.
    func stop() {
        switch guide {
        case .none: break
        case .sentinels(let guide): guide.stop()
        case .cluster(let guide): guide.stop()
        }
    }
}

/// Something that is used on one event loop only.
///
/// `@unchecked Sendable`: the value is reached on its loop only, through ``run(_:)``.
private struct Confined<Value>: @unchecked Sendable {
    private let value: Value
    private let eventLoop: any EventLoop

    init(_ value: Value, on eventLoop: any EventLoop) {
        self.value = value
        self.eventLoop = eventLoop
    }

    func run(_ body: @escaping @Sendable (Value) -> Void) {
        eventLoop.execute { body(value) }
    }
}
