import ChatProtocol
import NIOCore
import Testing

@testable import LoadTest

@Suite("How long presence takes to be true")
struct GhostsTests {
    private let ghost: UserName
    private let other: UserName

    init() throws {
        ghost = try #require(UserName("ghost"))
        other = try #require(UserName("other"))
    }

    private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    private func ghosts() -> Ghosts {
        var ghosts = Ghosts()
        ghosts.begin(7, named: ghost, in: 1, others: [2, 3], at: at(10))
        return ghosts
    }

    @Test("Until the last member of the room was told that the user left")
    func told() {
        var ghosts = ghosts()
        ghosts.left(ghost, from: 1, toldTo: 2, at: at(12))
        ghosts.left(other, from: 1, toldTo: 3, at: at(12))
        ghosts.left(ghost, from: 5, toldTo: 3, at: at(12))
        #expect(ghosts.takeEnded(at: at(12), patience: .seconds(15)) == [])
        ghosts.left(ghost, from: 1, toldTo: 3, at: at(14))
        #expect(ghosts.takeEnded(at: at(20), patience: .seconds(15)) == [.init(user: 7, room: 1, seconds: 4)])
        #expect(ghosts.isEmpty)
    }

    @Test("Who joins again and is shown the user has to be told anew; who is not shown it knows")
    func joined() {
        var ghosts = ghosts()
        ghosts.left(ghost, from: 1, toldTo: 2, at: at(11))
        ghosts.joined(1, by: 2, members: [ghost, other], at: at(11))
        ghosts.joined(1, by: 3, members: [other], at: at(12))
        #expect(ghosts.count == 1)
        ghosts.joined(1, by: 2, members: [other], at: at(13))
        #expect(ghosts.takeEnded(at: at(13), patience: .seconds(15)) == [.init(user: 7, room: 1, seconds: 3)])
    }

    @Test("After some time nobody waits for it any more, and one who does not know is named")
    func late() {
        var ghosts = ghosts()
        ghosts.left(ghost, from: 1, toldTo: 2, at: at(11))
        #expect(ghosts.takeEnded(at: at(25), patience: .seconds(15)) == [])
        #expect(ghosts.takeEnded(at: at(26), patience: .seconds(15)) == [.init(user: 7, room: 1, unaware: 3)])
    }
}
