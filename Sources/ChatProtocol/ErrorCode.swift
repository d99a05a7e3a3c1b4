/// Why a node refused a frame (`code` of an `error` event) or an HTTP request (`error` of the body).
package enum ErrorCode: String, Sendable, Hashable, CaseIterable {
    // Frames, and HTTP requests that do the same.
    case invalidJSON = "invalid_json"
    case invalidMessage = "invalid_message"
    case unknownType = "unknown_type"
    case invalidRoom = "invalid_room"
    case notJoined = "not_joined"
    case forbidden
    case unauthorized
    case messageTooLarge = "message_too_large"
    case rateLimited = "rate_limited"
    case tooManyRooms = "too_many_rooms"
    case roomFull = "room_full"
    case `internal`
    /// The store cannot be reached. For a `message`: not known whether it is stored; send it again with `retry`.
    case unavailable

    // HTTP requests and the WebSocket handshake only.
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    case upgradeRequired = "upgrade_required"
    case badRequest = "bad_request"
    case draining
    case full
    case tooManyConnections = "too_many_connections"
    case originNotAllowed = "origin_not_allowed"
    case invalidUser = "invalid_user"
}
