import ChatProtocol
import NIOCore

/// Fresh tokens, where the application gives them when it is asked.
extension ClientEngine {
    /// Goes on with a token for this link, asked for if need be.
    func withToken(for link: Int, _ body: @escaping (ClientEngine) -> Void) {
        guard let provider else { return body(self) }
        asked(provider) { engine, result in
            guard engine.expects(link) else { return }
            switch result {
            case .success(let token):
                if let refused = engine.refused, refused.token == token { return engine.lost(link, refused.ending) }
                engine.setToken(token)
                body(engine)
            case .failure(let error):
                engine.lost(link, .unreachable("no token: \(error)"))
            }
        }
    }

    /// The session ends soon, unless the node gets a fresh token.
    func renewToken() {
        guard let provider else { return }
        asked(provider) { engine, result in
            switch result {
            case .success(let token):
                guard let id = engine.nextID() else { return }
                engine.setToken(token)
                engine.ask(
                    .init(id: id, message: .auth(id: id, token: token)) { [weak engine] result in
                        guard case .failure(let error as ChatClientError) = result else { return }
                        engine?.emit(.error(error))
                    })
            case .failure(let error):
                engine.emit(.error(ChatClientError(code: .unauthorized, message: "no token: \(error)")))
            }
        }
    }

    /// Turned away for its identity, a client that can get another token comes back with that; with the same it does not.
    func mayComeBack(after ending: ConnectionEnding) -> ConnectionEnding {
        guard provider != nil, case .giveUp(let error) = ending.verdict, error.code == .unauthorized else {
            return ending
        }
        refused = (options.token, ending)
        return .lost(ending.description)
    }

    private func asked(
        _ provider: @escaping ChatClient.Configuration.TokenProvider,
        _ body: @escaping (ClientEngine, Result<String, any Error>) -> Void
    ) {
        eventLoop.makeFutureWithTask { try await provider() }.assumeIsolated().whenComplete { [self] result in
            body(self, result.flatMap { token in Result { try ChatClient.Configuration.checked(token: token) } })
            settle()
        }
    }
}
