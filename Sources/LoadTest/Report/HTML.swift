/// The little of HTML that a report needs.
enum HTML {
    static func escaped(_ text: String) -> String {
        var out = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            default: out.unicodeScalars.append(character)
            }
        }
        return out
    }

    /// A table whose first column is text and whose others are numbers, or words, too.
    static func table(_ head: [String], _ rows: [[String]], isOfWords: Bool = false) -> String {
        func row(_ cells: [String], _ tag: String) -> String {
            "<tr>" + cells.map { "<\(tag)>\(escaped($0))</\(tag)>" }.joined() + "</tr>"
        }
        return "<div class=\"wide\"><table\(isOfWords ? " class=\"words\"" : "")>" + row(head, "th")
            + rows.map { row($0, "td") }.joined() + "</table></div>"
    }
}
