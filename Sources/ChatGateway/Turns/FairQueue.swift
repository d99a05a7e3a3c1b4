import NIOCore

/// Waiting in line, one line for each address. The lines are served in turn, so that who sends many delays only its
/// own. Pure.
struct FairQueue<Element> {
    private var lines: [String: CircularBuffer<Element>] = [:]
    /// Each address that has a line, once.
    private var turns = CircularBuffer<String>()

    var isEmpty: Bool { turns.isEmpty }

    mutating func append(_ element: Element, of address: String) {
        if lines[address] == nil {
            turns.append(address)
            lines[address] = CircularBuffer(initialCapacity: 1)
        }
        lines[address]?.append(element)
    }

    mutating func popFirst() -> Element? {
        guard let address = turns.popFirst(), let element = lines[address]?.popFirst() else { return nil }
        if lines[address]?.isEmpty == true {
            lines[address] = nil
        } else {
            turns.append(address)
        }
        return element
    }
}
