import ChatProtocol
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

extension RouterMethods where Context == HTTPContext {
    typealias Handler = @Sendable (Request, HTTPContext) async throws -> Response

    /// Serves some methods of a path, tells browsers which, and refuses the others.
    func serve(_ path: RouterPath, _ handlers: [(HTTPRequest.Method, Handler)]) {
        let methods = handlers.map(\.0)
        for (method, handler) in handlers { on(path, method: method) { try await handler($0, $1) } }
        on(path, method: .options) { _, _ in CrossOrigin.preflight(methods: methods) }
        let others: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete, .patch, .trace, .connect]
        for method in others where !methods.contains(method) && (method != .head || !methods.contains(.get)) {
            on(path, method: method) { _, _ -> Response in
                throw HTTPRefusal(
                    .methodNotAllowed, .methodNotAllowed, "the method is not allowed here",
                    headers: ["Allow": methods.map(\.rawValue).joined(separator: ", ")])
            }
        }
    }
}

extension HTTPContext {
    /// The room in the path.
    func room() throws(HTTPRefusal) -> RoomName {
        guard let room = text("room").flatMap({ RoomName($0) }) else {
            throw HTTPRefusal(.badRequest, .invalidRoom, "this is no room's name")
        }
        return room
    }

    /// The user in the path.
    func user() throws(HTTPRefusal) -> UserName {
        guard let user = text("user").flatMap({ UserName($0) }) else {
            throw HTTPRefusal(.badRequest, .invalidUser, "this is no user's name")
        }
        return user
    }

    private func text(_ name: Substring) -> String? {
        parameters.get(String(name)).flatMap { QueryItems.decode($0[...]) }
    }
}

extension Response {
    static func json(_ bytes: ByteBuffer, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status,
            headers: [
                .contentType: "application/json; charset=utf-8", .cacheControl: "no-store",
                .xContentTypeOptions: "nosniff",
            ],
            body: .init(byteBuffer: bytes))
    }
}
