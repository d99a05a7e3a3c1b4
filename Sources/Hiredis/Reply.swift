package import NIOCore

/// One reply of Redis: the types of RESP2.
///
/// Strings are slices of a buffer that all replies of one read share (about 16 KiB): what is kept for long should be
/// copied out of it.
package enum Reply: Sendable, Equatable {
    /// A simple string such as `OK`, without its line end.
    case status(ByteBuffer)
    /// An error of Redis such as `WRONGTYPE …`: an answer like any other, the connection goes on.
    case error(String)
    case integer(Int64)
    /// A bulk string: any bytes, possibly none.
    case bulk(ByteBuffer)
    /// The null bulk string (`$-1`) and the null array (`*-1`).
    case null
    case array([Reply])
}
