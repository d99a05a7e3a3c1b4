package import ChatHub
package import ChatProtocol

/// Who stands behind a session or a request, and what the token allows.
package struct Identity: Sendable, Equatable {
    package var user: UserName
    @Occasional private var grant = Grant()

    /// What a token says besides; nothing where there is no authentication.
    private struct Grant: OccasionalState, Equatable {
        var displayName: String?
        var rights = Rights.all
        var expires: UInt64?
        var endsAt: UInt64?
        var token: TokenMark?

        var isInitial: Bool { self == Grant() }
    }

    package init(
        user: UserName, displayName: String? = nil, rights: Rights = .all, expires: UInt64? = nil,
        endsAt: UInt64? = nil, token: TokenMark? = nil
    ) {
        self.user = user
        grant = Grant(displayName: displayName, rights: rights, expires: expires, endsAt: endsAt, token: token)
    }

    /// What the user is called, for people; nothing is decided by it.
    package var displayName: String? { grant.displayName }

    package var rights: Rights { grant.rights }

    /// Seconds since 1970; nil where nothing expires: without authentication, and for API keys.
    package var expires: UInt64? { grant.expires }

    /// The whole time that the token is taken for: ``expires`` and the leeway, in milliseconds since 1970.
    package var endsAt: UInt64? { grant.endsAt }

    /// By what its token can be revoked; nil where there is none.
    package var token: TokenMark? { grant.token }
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
