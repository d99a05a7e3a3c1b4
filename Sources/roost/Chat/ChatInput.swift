/// What a line that was typed into `roost chat` means.
enum ChatInput: Equatable {
    case nothing
    /// To the current room.
    case say(String)
    case join(String)
    /// Nil: the current room.
    case leave(String?)
    case rooms
    case who(String?)
    case message(user: String, text: String)
    case history(Int)
    case help
    case quit
    /// What is wrong, and what is right.
    case wrong(String)

    init(_ line: String) {
        let line = line.trimmingSuffixSpaces()
        guard line.first == "/" else {
            self = line.isEmpty ? .nothing : .say(line)
            return
        }
        // A second slash is how to say something that begins with one.
        if line.hasPrefix("//") {
            self = .say(String(line.dropFirst()))
            return
        }
        let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
        let argument = words.count > 1 ? String(words[1]) : nil
        switch words[0] {
        case "/join":
            self = argument.map(ChatInput.join) ?? .wrong("/join ROOM")
        case "/leave":
            self = .leave(argument)
        case "/rooms":
            self = .rooms
        case "/who":
            self = .who(argument)
        case "/msg":
            if let argument, words.count > 2 {
                self = .message(user: argument, text: String(words[2]))
            } else {
                self = .wrong("/msg USER TEXT")
            }
        case "/history":
            switch argument.map({ Int($0) }) {
            case nil: self = .history(20)
            case .some(.some(let count)) where (1...1000).contains(count): self = .history(count)
            case .some: self = .wrong("/history takes a number from 1 to 1000")
            }
        case "/help":
            self = .help
        case "/quit":
            self = .quit
        default:
            self = .wrong("there is no \(words[0]); /help lists what there is")
        }
    }

    static let commands = """
        /join ROOM       enter a room, or go to one you are in
        /leave [ROOM]    leave a room
        /rooms           the rooms you are in
        /who [ROOM]      who is there
        /msg USER TEXT   a direct message
        /history [N]     the latest messages here
        /quit            leave
        //TEXT           say something that begins with /
        """
}

extension String {
    fileprivate func trimmingSuffixSpaces() -> String {
        var text = Substring(self)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}
