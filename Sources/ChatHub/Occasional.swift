/// What only few of many ever have: in the others it is as it began.
public protocol OccasionalState: Sendable {
    init()
    /// Whether it is as it began.
    var isInitial: Bool { get }
}

/// State that costs its owner no more than a pointer while it is as it began. A value like any other.
///
/// Public, though only this package uses it, so that other modules specialise it.
///
/// `@unchecked Sendable`: what is stored is written to only while nobody else has it.
@propertyWrapper
public struct Occasional<State: OccasionalState>: @unchecked Sendable {
    @usableFromInline
    final class Storage {
        @usableFromInline var state: State

        @usableFromInline init(_ state: State) { self.state = state }
    }

    @usableFromInline var storage: Storage?

    /// Whether it is as it began, without a look at it.
    @inlinable public var isInitial: Bool { storage == nil }

    @inlinable public init(wrappedValue: State) {
        storage = wrappedValue.isInitial ? nil : Storage(wrappedValue)
    }

    @inlinable public var wrappedValue: State {
        get { storage?.state ?? State() }
        _modify {
            if let own = ownStorage() {
                defer { if own.state.isInitial { storage = nil } }
                yield &own.state
            } else {
                var state = State()
                defer { if !state.isInitial { storage = Storage(state) } }
                yield &state
            }
        }
    }

    /// Nobody else's; nil while there is none.
    @inlinable mutating func ownStorage() -> Storage? {
        if storage != nil, !isKnownUniquelyReferenced(&storage) { storage = storage.map { Storage($0.state) } }
        return storage
    }
}

extension Occasional: Equatable where State: Equatable {
    @inlinable public static func == (left: Self, right: Self) -> Bool { left.wrappedValue == right.wrappedValue }
}
