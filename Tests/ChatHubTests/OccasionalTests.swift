import Testing

@testable import ChatHub

@Suite("Occasional state")
struct OccasionalTests {
    private struct Notes: OccasionalState, Equatable {
        var lines: [String] = []
        var isInitial: Bool { lines.isEmpty }
    }

    private struct Owner: Equatable {
        @Occasional var notes = Notes()

        var holdsMemory: Bool { !_notes.isInitial }
    }

    @Test func takesMemoryOnlyWhileItIsNotAsItBegan() {
        var owner = Owner()
        #expect(MemoryLayout<Owner>.size == MemoryLayout<Int>.size)
        #expect(!owner.holdsMemory)
        owner.notes.lines = []
        #expect(!owner.holdsMemory)
        owner.notes.lines.append("one")
        owner.notes.lines.append("two")
        #expect(owner.holdsMemory)
        #expect(owner.notes.lines == ["one", "two"])
        owner.notes.lines.removeAll()
        #expect(!owner.holdsMemory)
        owner.notes = Notes(lines: ["three"])
        #expect(owner.holdsMemory)
        owner.notes = Notes()
        #expect(!owner.holdsMemory)
    }

    @Test func isAValue() {
        var one = Owner()
        one.notes.lines = ["one"]
        var other = one
        #expect(one == other)
        other.notes.lines.append("two")
        #expect(one.notes.lines == ["one"])
        #expect(other.notes.lines == ["one", "two"])
        other.notes.lines = []
        #expect(one.notes.lines == ["one"])
        #expect(one != other)
    }
}
