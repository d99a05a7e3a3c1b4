package import ChatProtocol

/// Values by room, for somebody who is in a few rooms as a rule: these stand in a list, which takes half of a dictionary's
/// memory. Whoever is in more gets a dictionary.
///
/// Inlinable, as it is looked into for each message: unspecialised, that was most of what a session's rules cost.
package struct RoomTable<Value>: ExpressibleByDictionaryLiteral {
    /// A list of more is slower to look through than a name is to hash.
    @usableFromInline static var fewRooms: Int { 8 }

    @usableFromInline var few: [(room: RoomName, value: Value)] = []
    /// Holds all of them, or is nil.
    @usableFromInline var many: [RoomName: Value]?

    @inlinable package init(dictionaryLiteral elements: (RoomName, Value)...) {
        for (room, value) in elements { self[room] = value }
    }

    @inlinable package var count: Int { many?.count ?? few.count }

    @inlinable package var isEmpty: Bool { count == 0 }

    @inlinable package var rooms: [RoomName] { many.map { Array($0.keys) } ?? few.map(\.room) }

    @inlinable package subscript(room: RoomName) -> Value? {
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
    @inlinable package mutating func removeValue(for room: RoomName) -> Value? {
        defer { self[room] = nil }
        return self[room]
    }
}
