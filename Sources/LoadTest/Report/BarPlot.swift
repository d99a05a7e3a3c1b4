/// How often which latency was seen, as SVG.
struct BarPlot {
    var spread: LatencySpread
    /// Latencies that are marked, in milliseconds.
    var marks: [(milliseconds: Double, label: String)]

    private static let size = (width: 880.0, height: 220.0)
    private static let margin = (left: 16.0, right: 16.0, top: 40.0, bottom: 28.0)
    /// In a factor of ten.
    private static let barsPerDecade = 16.0

    var svg: String {
        let values = zip(spread.microseconds, spread.counts).map { (Double(max($0, 1)) / 1000, Double($1)) }
        let x = PlotScale.logarithmic(from: values.first?.0 ?? 0, to: values.last?.0 ?? 0)
        var bars: [Int: Double] = [:]
        for (milliseconds, count) in values {
            bars[Int((Power.decimalLogarithm(milliseconds) * Self.barsPerDecade).rounded(.down)), default: 0] += count
        }
        let highest = bars.values.max() ?? 1
        let width = Self.size.width - Self.margin.left - Self.margin.right
        let base = Self.size.height - Self.margin.bottom
        let height = base - Self.margin.top
        func left(_ milliseconds: Double) -> Double { Self.margin.left + x.place(milliseconds) * width }
        var parts = [
            "<svg viewBox=\"0 0 \(Plot.number(Self.size.width)) \(Plot.number(Self.size.height))\" role=\"img\" aria-label=\"how often which latency was seen\">"
        ]
        for (bar, count) in bars.sorted(by: { $0.key < $1.key }) {
            let from = left(Power.of(10, Double(bar) / Self.barsPerDecade))
            let to = left(Power.of(10, Double(bar + 1) / Self.barsPerDecade))
            // One of very many is still to be seen.
            let tall = max(count / highest * height, 1.5)
            let share = Decimals.fixed(count * 100 / Double(max(spread.count, 1)), digits: 2)
            parts.append(
                "<rect class=\"bar\" x=\"\(Plot.number(from))\" y=\"\(Plot.number(base - tall))\" "
                    + "width=\"\(Plot.number(max(to - from - 1, 0.5)))\" height=\"\(Plot.number(tall))\">"
                    + "<title>\(share) %</title></rect>")
        }
        parts.append(
            "<path class=\"grid\" d=\"M\(Plot.number(Self.margin.left)) \(Plot.number(base))h\(Plot.number(width))\"/>")
        for (index, tick) in x.ticks.enumerated() {
            // Those at the ends stay within the picture.
            let anchor = index == 0 ? "start" : index == x.ticks.count - 1 ? "end" : "middle"
            parts.append(
                "<text class=\"tick\" text-anchor=\"\(anchor)\" x=\"\(Plot.number(left(tick)))\" "
                    + "y=\"\(Plot.number(Self.size.height - 8))\">\(HTML.escaped(ReportPage.milliseconds(tick)))</text>"
            )
        }
        for (index, mark) in marks.enumerated() {
            let place = left(mark.milliseconds)
            let isLate = place > Self.size.width * 0.8
            parts.append(
                "<path class=\"mark\" d=\"M\(Plot.number(place)) \(Plot.number(Self.margin.top - 10))V\(Plot.number(base))\"/>"
                    + "<text class=\"marked\" text-anchor=\"\(isLate ? "end" : "start")\" x=\"\(Plot.number(place))\" "
                    + "dx=\"\(isLate ? -4 : 4)\" y=\"\(10 + index % 3 * 12)\">\(HTML.escaped(mark.label))</text>")
        }
        parts.append("</svg>")
        return parts.joined(separator: "\n")
    }
}
