/// A run as some lines of a terminal, to be written over by the next.
package enum LiveView {
    private static let width = 30

    package static func lines(_ progress: LoadProgress) -> [String] {
        let share =
            progress.phase == .connecting
            ? Double(progress.connected) / Double(max(progress.clients, 1)) : progress.fraction
        var lines = [
            "\(bar(share, of: width)) \(Decimals.fixed(progress.seconds, digits: 0)) s, \(progress.phase.rawValue): "
                + "\(Decimals.grouped(progress.connected)) of \(Decimals.grouped(progress.clients)) clients"
        ]
        if progress.phase != .connecting {
            let counts = progress.counts
            lines.append(
                "sent \(Decimals.grouped(counts.sent)) (\(Decimals.grouped(Int(progress.sentRate)))/s)  acknowledged "
                    + "\(Decimals.grouped(counts.acknowledged))  delivered "
                    + "\(Decimals.grouped(counts.deliveries.delivered)) "
                    + "(\(Decimals.grouped(Int(progress.deliveryRate)))/s)"
                    + (progress.percentiles.map { "  \($0)" } ?? ""))
        }
        let most = progress.connectedByNode.values.max() ?? 0
        let nodes = progress.connectedByNode.sorted { $0.key < $1.key }
        let name = nodes.map(\.key.count).max() ?? 0
        for (node, count) in nodes.prefix(12) {
            let padding = String(repeating: " ", count: name - node.count)
            lines.append(
                "  \(node)\(padding) \(bar(Double(count) / Double(max(most, 1)), of: width)) \(Decimals.grouped(count))"
            )
        }
        if nodes.count > 12 { lines.append("  and \(nodes.count - 12) more") }
        if let troubles = progress.troubles { lines.append(troubles) }
        return lines
    }

    private static func bar(_ share: Double, of width: Int) -> String {
        let full = Int((min(max(share, 0), 1) * Double(width)).rounded())
        return String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    }
}
