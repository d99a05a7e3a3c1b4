/// A dictionary for few entries as a rule: these stand in a list, which takes half of a dictionary's memory. Who has more
/// gets a dictionary.
///
/// Public, though only this package uses it, and inlinable: of what is generic other modules specialise nothing else, and
/// unspecialised a look into it costs twenty times as much.
public struct SmallTable<Key: Hashable, Value>: ExpressibleByDictionaryLiteral {
    /// A list of more is slower to look through than a key is to hash.
    @usableFromInline static var few: Int { 8 }

    @usableFromInline var list: [(key: Key, value: Value)] = []
    /// Holds all of them, or is nil.
    @usableFromInline var dictionary: [Key: Value]?

    @inlinable public init(dictionaryLiteral elements: (Key, Value)...) {
        for (key, value) in elements { self[key] = value }
    }

    @inlinable public var count: Int { dictionary?.count ?? list.count }

    @inlinable public var isEmpty: Bool { count == 0 }

    @inlinable public var keys: [Key] { dictionary.map { Array($0.keys) } ?? list.map(\.key) }

    @inlinable public subscript(key: Key) -> Value? {
        get {
            if let dictionary { return dictionary[key] }
            for index in list.indices where list[index].key == key { return list[index].value }
            return nil
        }
        set {
            guard dictionary == nil else {
                dictionary?[key] = newValue
                return
            }
            let index = list.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): list[index].value = value
            case (let index?, nil): list.remove(at: index)
            case (nil, let value?):
                if list.count < Self.few {
                    list.append((key, value))
                } else {
                    dictionary = Dictionary(uniqueKeysWithValues: list.map { ($0.key, $0.value) } + [(key, value)])
                    list = []
                }
            case (nil, nil): break
            }
        }
    }
}
