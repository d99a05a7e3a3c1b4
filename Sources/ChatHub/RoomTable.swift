package import ChatProtocol

/// Values by room, for somebody who is in a few rooms as a rule: these stand in a list, which takes half of a dictionary's
/// memory. Whoever is in more gets a dictionary.
package struct RoomTable<Value>: ExpressibleByDictionaryLiteral {
    /// A list of more is slower to look through than a name is to hash.
    private static var fewRooms: Int { 8 }

    private var few: [(room: RoomName, value: Value)] = []
    /// Holds all of them, or is nil.
    private var many: [RoomName: Value]?

    package init(dictionaryLiteral elements: (RoomName, Value)...) {
        for (room, value) in elements { self[room] = value }
    }

    package var count: Int { many?.count ?? few.count }

    package var isEmpty: Bool { count == 0 }

    package var rooms: [RoomName] { many.map { Array($0.keys) } ?? few.map(\.room) }

    package subscript(room: RoomName) -> Value? {
        get {
            if let many { return many[room] }
            return few.first { $0.room == room }?.value
        }
        set {
            guard many == nil else {
                many?[room] = newValue
                return
            }
            let index = few.firstIndex { $0.room == room }
            switch (index, newValue) {
            case (let index?, let value?): few[index].value = value
            case (let index?, nil): few.remove(at: index)
            case (nil, let value?):
                if few.count < Self.fewRooms {
                    few.append((room, value))
                } else {
                    many = Dictionary(uniqueKeysWithValues: few.map { ($0.room, $0.value) } + [(room, value)])
                    few = []
                }
            case (nil, nil): break
            }
        }
    }

    @discardableResult
    package mutating func removeValue(for room: RoomName) -> Value? {
        defer { self[room] = nil }
        return self[room]
    }
}
