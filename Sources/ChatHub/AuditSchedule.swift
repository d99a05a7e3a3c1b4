/// When each room's position is compared with the end of its log: half a second after it went quiet, then each second,
/// then ever more rarely. A room that is heard needs none: the next message shows what is missing.
///
/// Time is counted in ticks of half a second. A room costs one place in a list.
struct AuditSchedule<Room> {
    /// A minute.
    private static var longestPause: Int { 120 }
    /// So long after it was last heard a room is still asked for each second.
    private static var recently: Int { 20 }

    private var turns: [[Room]] = Array(repeating: [], count: AuditSchedule.longestPause + 1)
    private var now = 0

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

    /// A tick is over. The rooms whose turn has come; those that still matter are to be added again.
    mutating func tick() -> [Room] {
        now += 1
        defer { turns[now % turns.count] = [] }
        return turns[now % turns.count]
    }
}
