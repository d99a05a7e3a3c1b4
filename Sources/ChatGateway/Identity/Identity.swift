package import ChatHub
package import ChatProtocol

/// Who stands behind a session or a request, and what the token allows.
package struct Identity: Sendable, Equatable {
    package var user: UserName
    /// What the user is called, for people; nothing is decided by it.
    package var displayName: String?
    package var rights: Rights
    /// Seconds since 1970; nil where nothing expires: without authentication, and for API keys.
    package var expires: UInt64?
    /// The whole time that the token is taken for: ``expires`` and the leeway, in milliseconds since 1970.
    package var endsAt: UInt64?
    /// By what its token can be revoked; nil where there is none.
    package var token: TokenMark?

    package init(
        user: UserName, displayName: String? = nil, rights: Rights = .all, expires: UInt64? = nil,
        endsAt: UInt64? = nil, token: TokenMark? = nil
    ) {
        self.user = user
        self.displayName = displayName
        self.rights = rights
        self.expires = expires
        self.endsAt = endsAt
        self.token = token
    }
}

/// What an identity may do.
package struct Rights: Sendable, Equatable {
    /// The rooms to join, and so to read; nil for any.
    package var join: [RoomPattern]?
    /// The rooms and inboxes to post to; nil for any.
    package var post: [RoomPattern]?
    /// May moderate.
    package var isAdmin: Bool

    package init(join: [RoomPattern]? = nil, post: [RoomPattern]? = nil, isAdmin: Bool = false) {
        self.join = join
        self.post = post
        self.isAdmin = isAdmin
    }

    /// Those of everybody where there is no authentication.
    package static let all = Rights()

    /// Of inboxes only the owner may read one, whatever a pattern says.
    package func mayRead(_ room: RoomName, as user: UserName) -> Bool {
        if room.isInbox { return room == RoomName(inboxOf: user) }
        return join?.contains { $0.matches(room) } ?? true
    }

    package func mayPost(to room: RoomName) -> Bool {
        post?.contains { $0.matches(room) } ?? true
    }
}
