/// When each room's position is compared with the end of its log: half a second after it went quiet, then each second,
/// then ever more rarely. A room that is heard needs none: the next message shows what is missing. One that was opened
/// begins as if it had been quiet for a while: it was just compared.
///
/// Time is counted in ticks of half a second. A room costs one place in a list. The rooms of one tick are spread over it:
/// thousands of questions at once would keep messages waiting, in the store and here.
struct AuditSchedule<Room> {
    /// A minute.
    private static var longestPause: Int { 120 }
    /// So long after it was last heard a room is still asked for each second.
    static var recently: Int { 20 }

    private var turns: [[Room]] = Array(repeating: [], count: AuditSchedule.longestPause + 1)
    private var now = 0

    /// In so many parts of a tick rooms are asked for, at least so many at once.
    static var parts: Int { 5 }
    private static var least: Int { 20 }

    private var part = 0
    private var due: ArraySlice<Room> = []
    private var share = 0

    /// Ticks until a room's next audit.
    ///
    /// - Parameter quiet: ticks since the room was last heard.
    static func pause(quietFor quiet: Int) -> Int {
        switch quiet {
        case 0, 1: 1
        case 2..<recently: 2
        default: min(longestPause, quiet / 4)
        }
    }

    mutating func add(_ room: Room, in ticks: Int) {
        turns[(now + max(1, min(ticks, Self.longestPause))) % turns.count].append(room)
    }

    /// A tick is over. The rooms that are due.
    mutating func tick() -> [Room] {
        now += 1
        defer { turns[now % turns.count] = [] }
        return turns[now % turns.count]
    }

    /// A part of a tick is over. The rooms whose turn has come; those that still matter are to be added again.
    mutating func next() -> ArraySlice<Room> {
        if part == 0 {
            due += tick()
            share = max(Self.least, (due.count + Self.parts - 1) / Self.parts)
        }
        part = (part + 1) % Self.parts
        defer { due = due.dropFirst(share) }
        return due.prefix(share)
    }
}
