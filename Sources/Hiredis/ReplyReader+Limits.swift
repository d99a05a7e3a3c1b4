import CHiredis

extension ReplyReader {
    /// How much a reply may take. hiredis itself would collect 512 MiB for a string that is only announced, and
    /// believes in arrays of two thousand million elements.
    package struct Limits: Sendable, Equatable {
        /// The longest bulk string.
        package var bulkBytes: Int
        /// The longest line: a status, an error, a number.
        package var lineBytes: Int
        /// The most elements of one array.
        package var arrayElements: Int
        /// The most arrays inside one another; at most ``deepest``.
        package var depth: Int
        /// The most bytes of a reply that is not complete, at most 1 GiB (hiredis 0.14 counts some of them in 32 bits).
        package var unfinishedBytes: Int

        /// What the installed hiredis can do: 7 with 0.14.
        package static var deepest: Int { Int(CHIREDIS_DEEPEST_NESTING) }

        package init(
            bulkBytes: Int = 128 << 20,
            lineBytes: Int = 64 << 10,
            arrayElements: Int = 1 << 20,
            depth: Int = 7,
            unfinishedBytes: Int = 256 << 20
        ) {
            self.bulkBytes = bulkBytes
            self.lineBytes = lineBytes
            self.arrayElements = arrayElements
            self.depth = depth
            self.unfinishedBytes = unfinishedBytes
        }

        /// The limits as they are enforced: none negative, none past what hiredis can do.
        var enforced: Limits {
            Limits(
                bulkBytes: max(0, self.bulkBytes),
                lineBytes: max(0, self.lineBytes),
                arrayElements: max(0, min(self.arrayElements, Int(Int32.max))),
                depth: max(0, min(self.depth, Limits.deepest)),
                unfinishedBytes: max(0, min(self.unfinishedBytes, 1 << 30)))
        }
    }
}
