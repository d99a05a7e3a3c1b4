import ChatProtocol

extension ChatClient {
    /// How a ``ChatClient`` connects, and what it may hold.
    public struct Configuration: Sendable {
        /// Nodes or load balancers, `ws://HOST:PORT/ws`. Any of them serves; the next one is tried when one fails.
        public var urls: [String]
        /// Needed where the server runs without authentication.
        public var user: String?
        /// Sent as `Authorization: Bearer …`.
        public var token: String?
        public typealias TokenProvider = @Sendable () async throws -> String
        /// Asked for a token before each connection, and when the one in use is about to expire; goes before ``token``.
        public var tokenProvider: TokenProvider?
        /// Further header fields of the handshake.
        public var headers: [(name: String, value: String)] = []
        /// Whether this client's own messages come back to it as events.
        public var echo = true
        /// Events that may wait for a slow reader. When there are more the client reads no further; what stands in the
        /// log comes later, what is not stored is left out.
        public var eventBuffer = 256
        /// Messages that may wait for their acknowledgement.
        public var outboxMessages = 1000
        /// Bytes of text and data that may wait for their acknowledgement.
        public var outboxBytes = 4 << 20

        public init(urls: [String], user: String? = nil, token: String? = nil) {
            self.urls = urls
            self.user = user
            self.token = token
        }

        /// A token that can be sent.
        static func checked(token: String) throws(ChatClientError) -> String {
            guard !token.isEmpty, token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw ChatClientError(code: .invalidHeader, message: "the token has a character that no token has")
            }
            return token
        }

        func addresses() throws(ChatClientError) -> [ServerAddress] {
            guard !urls.isEmpty else {
                throw ChatClientError(code: .invalidAddress, message: "no URL; expected ws://HOST:PORT/ws")
            }
            var addresses: [ServerAddress] = []
            for url in urls { addresses.append(try ServerAddress(url)) }
            return addresses
        }

        func connectionOptions() throws(ChatClientError) -> ClientConnection.Options {
            var options = ClientConnection.Options()
            if let user {
                guard let name = UserName(user) else {
                    throw ChatClientError(
                        code: .invalidName,
                        message: "\"\(user)\" is no user: a letter or digit, then up to 127 letters, digits and ._:-")
                }
                options.user = name
            }
            if let token {
                options.token = try Self.checked(token: token)
            }
            for (name, value) in headers {
                // RFC 9110, sections 5.1 and 5.5.
                let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }
                guard isName, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                    throw ChatClientError(code: .invalidHeader, message: "\"\(name)\" is not a header that can be sent")
                }
            }
            options.headers = headers
            options.echo = echo
            return options
        }
    }
}
