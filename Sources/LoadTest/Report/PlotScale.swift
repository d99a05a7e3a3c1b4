/// An axis: which values it shows, and where.
struct PlotScale: Equatable {
    var low: Double
    var high: Double
    var isLogarithmic: Bool
    /// Values with a line and a label.
    var ticks: [Double]

    /// From 0 to a round number above `highest`, with about five ticks.
    static func linear(to highest: Double) -> PlotScale {
        guard highest > 0, highest.isFinite else {
            return PlotScale(low: 0, high: 1, isLogarithmic: false, ticks: [0, 1])
        }
        let magnitude = Power.of(10, (Power.decimalLogarithm(highest / 5)).rounded(.down))
        let step = [1, 2, 5, 10].map { $0 * magnitude }.first { $0 * 5 >= highest } ?? magnitude * 10
        let count = Int((highest / step).rounded(.up))
        return PlotScale(
            low: 0, high: step * Double(count), isLogarithmic: false, ticks: (0...count).map { Double($0) * step })
    }

    /// Powers of ten around the values.
    static func logarithmic(from lowest: Double, to highest: Double) -> PlotScale {
        guard lowest > 0, highest >= lowest, highest.isFinite else {
            return PlotScale(low: 0.1, high: 10, isLogarithmic: true, ticks: [0.1, 1, 10])
        }
        let first = Int(Power.decimalLogarithm(lowest).rounded(.down))
        let last = max(Int(Power.decimalLogarithm(highest).rounded(.up)), first + 1)
        let ticks = (first...last).map { Power.of(10, Double($0)) }
        return PlotScale(low: ticks[0], high: ticks[ticks.count - 1], isLogarithmic: true, ticks: ticks)
    }

    /// 0 for the lowest value, 1 for the highest; what lies beyond is put at the end.
    func place(_ value: Double) -> Double {
        let share =
            isLogarithmic
            ? (Power.decimalLogarithm(max(value, low)) - Power.decimalLogarithm(low))
                / (Power.decimalLogarithm(high) - Power.decimalLogarithm(low))
            : (value - low) / (high - low)
        return min(max(share, 0), 1)
    }
}
