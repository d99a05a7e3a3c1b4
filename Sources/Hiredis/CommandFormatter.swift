import CHiredis
package import NIOCore

/// Writes commands as Redis reads them: an array of bulk strings, formatted by hiredis. Binary-safe; an argument may be
/// empty.
package struct CommandFormatter {
    /// Appends one command. It has at least one argument, the command's name, and less than 2 GiB.
    package static func write(_ arguments: [ByteBuffer], into out: inout ByteBuffer) {
        // The pointers outlive the closures that yield them, which the storage's owner allows while it is retained:
        // `arguments` retains each, and a buffer that is retained twice is copied before it is changed.
        withExtendedLifetime(arguments) {
            self.format(count: arguments.count, wordBytes: 0, into: &out) { _, append in
                for argument in arguments {
                    argument.withUnsafeReadableBytesWithStorageManagement { bytes, _ in append(bytes) }
                }
            }
        }
    }

    /// Appends one command. It has at least one argument, the command's name, and less than 2 GiB.
    ///
    /// Texts and integers are laid side by side on the stack when they are short; bytes are used where they are.
    package static func write(_ arguments: [Argument], into out: inout ByteBuffer) {
        var wordBytes = 0
        for argument in arguments {
            switch argument {
            case .text(let text): wordBytes += text.utf8.count
            case .integer: wordBytes += self.longestInteger
            case .bytes: break
            }
        }
        withExtendedLifetime(arguments) {
            self.format(count: arguments.count, wordBytes: wordBytes, into: &out) { words, append in
                var free = words
                for argument in arguments {
                    switch argument {
                    case .text(let text): append(self.lay(text, into: &free))
                    case .integer(let integer): append(self.lay(String(integer), into: &free))
                    case .bytes(let bytes):
                        bytes.withUnsafeReadableBytesWithStorageManagement { bytes, _ in append(bytes) }
                    }
                }
            }
        }
    }

    /// `Int.min` in decimal.
    private static let longestInteger = 20

    /// Copies a text to the front of `free`, which is shortened by it.
    private static func lay(_ text: String, into free: inout Slice<UnsafeMutableRawBufferPointer>)
        -> UnsafeRawBufferPointer
    {
        var text = text
        return text.withUTF8 { utf8 in
            let place = UnsafeMutableRawBufferPointer(rebasing: free.prefix(utf8.count))
            place.copyMemory(from: UnsafeRawBufferPointer(utf8))
            free = free.dropFirst(utf8.count)
            return UnsafeRawBufferPointer(place)
        }
    }

    /// Calls `fill` with `wordBytes` of memory and a function that takes one argument after the other, `count` in all;
    /// then lets hiredis format them.
    private static func format(
        count: Int,
        wordBytes: Int,
        into out: inout ByteBuffer,
        fill: (Slice<UnsafeMutableRawBufferPointer>, (UnsafeRawBufferPointer) -> Void) -> Void
    ) {
        assert(count > 0, "a command has a name")
        withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: count) { pointers in
            withUnsafeTemporaryAllocation(of: Int.self, capacity: count) { lengths in
                // One byte more: an address for arguments without bytes, which hiredis copies from too.
                withUnsafeTemporaryAllocation(byteCount: wordBytes + 1, alignment: 1) { words in
                    let nowhere = UnsafeRawPointer(words.baseAddress)
                    var index = 0
                    fill(words[..<wordBytes]) { bytes in
                        let address = bytes.isEmpty ? nowhere : bytes.baseAddress
                        pointers.initializeElement(at: index, to: address?.assumingMemoryBound(to: CChar.self))
                        lengths.initializeElement(at: index, to: bytes.count)
                        index += 1
                    }
                    var size = 0
                    guard
                        let command = chiredis_format_command(
                            CInt(count), pointers.baseAddress, lengths.baseAddress, &size)
                    else {
                        // As when a ByteBuffer cannot grow: what we send is bounded long before by those who write it.
                        preconditionFailure("no memory for a command of \(count) arguments, or more than 2 GiB")
                    }
                    out.writeBytes(UnsafeRawBufferPointer(start: command, count: size))
                    redisFreeSdsCommand(command)
                }
            }
        }
    }
}
