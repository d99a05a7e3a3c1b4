import Deflate

/// zlib's state, which the connections of one event loop share, as each message is compressed by itself.
///
/// `@unchecked Sendable`: used by connections only, on the loop that they and it belong to.
package final class LoopCompression: @unchecked Sendable {
    let inflater = Inflater()
    let deflater = Deflater()

    package init() {}
}
