package import ChatProtocol
import HTTPTypes
package import Hummingbird
import NIOHTTP1

/// The answers to requests that routes do not do: always JSON, `{"error":CODE,"message":TEXT}`.
enum HTTPErrors {
    /// The answer to whatever a route threw.
    static func response(to error: any Error) -> Response { response(to: refusal(of: error)) }

    static func refusal(of error: any Error) -> HTTPRefusal {
        if let refusal = error as? HTTPRefusal { return refusal }
        let status = (error as? any HTTPResponseError)?.status ?? .internalServerError
        return refusal(HTTPResponseStatus(statusCode: status.code))
    }

    static func response(to refusal: HTTPRefusal) -> Response {
        var fields = HTTPFields()
        for (name, value) in refusal.head.headers {
            if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
        }
        let status = HTTPResponse.Status(
            code: Int(refusal.status.code), reasonPhrase: refusal.status.reasonPhrase)
        return Response(status: status, headers: fields, body: .init(byteBuffer: refusal.body))
    }

    private static func refusal(_ status: HTTPResponseStatus) -> HTTPRefusal {
        switch status.code {
        case 404: HTTPRefusal(.notFound, .notFound, "there is nothing here")
        case 405: HTTPRefusal(.methodNotAllowed, .methodNotAllowed, "the method is not allowed here")
        case 413: HTTPRefusal(.payloadTooLarge, .messageTooLarge, "the body is too large")
        case 400..<500: HTTPRefusal(status, .badRequest, "the request cannot be understood")
        default: HTTPRefusal(.internalServerError, .internal, "something went wrong on this node")
        }
    }
}

/// Turns what routes throw, and requests without a route, into `{"error":CODE,"message":TEXT}`. Every router needs it
/// as its first middleware: without it a router answers unknown paths by itself, with an empty body.
package struct JSONErrors<Context: RequestContext>: RouterMiddleware {
    private let refused: @Sendable (ErrorCode) -> Void

    /// - Parameter refused: told of every refusal.
    package init(refused: @escaping @Sendable (ErrorCode) -> Void = { _ in }) { self.refused = refused }

    package func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            let refusal = HTTPErrors.refusal(of: error)
            refused(refusal.code)
            return HTTPErrors.response(to: refusal)
        }
    }
}
