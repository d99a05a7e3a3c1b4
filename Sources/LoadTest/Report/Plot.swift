/// A plot over time as SVG, to stand in a page of ours: its colours are the page's.
struct Plot {
    struct Line {
        var name: String
        /// Seconds and values; nil where there is none, and the line is broken.
        var points: [(second: Double, value: Double?)]
        /// The page's colour of this number, from 1.
        var colour: Int
        var isFilled = false
    }

    /// A moment that is marked in all plots.
    struct Mark {
        var second: Double
        var label: String
    }

    var label: String
    var lines: [Line]
    var marks: [Mark]
    var seconds: Double
    var isLogarithmic = false
    /// What stands at the ticks.
    var words: (Double) -> String

    private static let size = (width: 880.0, height: 250.0)
    private static let margin = (left: 62.0, right: 16.0, top: 26.0, bottom: 28.0)

    private var plot: (width: Double, height: Double) {
        (
            Self.size.width - Self.margin.left - Self.margin.right,
            Self.size.height - Self.margin.top - Self.margin.bottom
        )
    }

    var svg: String {
        let values = lines.flatMap { $0.points.compactMap(\.value) }
        let y: PlotScale =
            isLogarithmic
            ? .logarithmic(from: values.filter { $0 > 0 }.min() ?? 0, to: values.max() ?? 0)
            : .linear(to: values.max() ?? 0)
        let x = PlotScale(low: 0, high: max(seconds, 0.001), isLogarithmic: false, ticks: [])
        var parts = [
            "<svg viewBox=\"0 0 \(Self.number(Self.size.width)) \(Self.number(Self.size.height))\" role=\"img\" aria-label=\"\(HTML.escaped(label))\">"
        ]
        for tick in y.ticks { parts.append(row(y, tick)) }
        for tick in PlotScale.linear(to: seconds).ticks where tick <= seconds { parts.append(column(x, tick)) }
        for (index, mark) in marks.enumerated() { parts.append(self.mark(x, mark, number: index)) }
        for line in lines { parts.append(self.line(line, x, y)) }
        parts.append("</svg>")
        return parts.joined(separator: "\n")
    }

    private func left(_ x: PlotScale, _ second: Double) -> String {
        Self.number(Self.margin.left + x.place(second) * plot.width)
    }

    private func top(_ y: PlotScale, _ value: Double) -> String {
        Self.number(Self.margin.top + (1 - y.place(value)) * plot.height)
    }

    private func row(_ y: PlotScale, _ value: Double) -> String {
        let height = top(y, value)
        let start = Self.number(Self.margin.left)
        return "<path class=\"grid\" d=\"M\(start) \(height)H\(Self.number(Self.size.width - Self.margin.right))\"/>"
            + "<text class=\"tick\" text-anchor=\"end\" x=\"\(Self.number(Self.margin.left - 8))\" y=\"\(height)\" dy=\"4\">"
            + "\(HTML.escaped(words(value)))</text>"
    }

    private func column(_ x: PlotScale, _ second: Double) -> String {
        "<text class=\"tick\" text-anchor=\"middle\" x=\"\(left(x, second))\" y=\"\(Self.number(Self.size.height - 8))\">"
            + "\(Decimals.short(second)) s</text>"
    }

    private func mark(_ x: PlotScale, _ mark: Mark, number: Int) -> String {
        let place = left(x, mark.second)
        let isLate = x.place(mark.second) > 0.8
        // Labels of neighbours stand at two heights.
        return
            "<path class=\"mark\" d=\"M\(place) \(Self.number(Self.margin.top - 8))V\(Self.number(Self.size.height - Self.margin.bottom))\"/>"
            + "<text class=\"marked\" text-anchor=\"\(isLate ? "end" : "start")\" x=\"\(place)\" "
            + "dx=\"\(isLate ? -4 : 4)\" y=\"\(number % 2 == 0 ? 12 : 24)\">\(HTML.escaped(mark.label))</text>"
    }

    private func line(_ line: Line, _ x: PlotScale, _ y: PlotScale) -> String {
        var path = ""
        var area = ""
        var start: String?
        var last = ""
        func endArea() {
            if let start, !last.isEmpty {
                let base = Self.number(Self.margin.top + plot.height)
                area += "L\(last) \(base)L\(start) \(base)Z"
            }
            start = nil
        }
        for point in line.points {
            guard let value = point.value else {
                endArea()
                continue
            }
            let (left, top) = (left(x, point.second), top(y, value))
            let command = start == nil ? "M" : "L"
            path += "\(command)\(left) \(top)"
            area += "\(command)\(left) \(top)"
            start = start ?? left
            last = left
        }
        endArea()
        let title = "<title>\(HTML.escaped(line.name))</title>"
        return (line.isFilled ? "<path class=\"area c\(line.colour)\" d=\"\(area)\"/>" : "")
            + "<path class=\"line c\(line.colour)\" d=\"\(path)\">\(title)</path>"
    }

    /// As short as it can be: a page has thousands.
    static func number(_ value: Double) -> String {
        let text = Decimals.fixed(value, digits: 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
