import HTTPTypes
import Hummingbird

/// Tells browsers which pages of other origins may read the answers (the Fetch standard, "CORS protocol").
struct CrossOrigin: RouterMiddleware {
    let access: APIAccess

    func handle(
        _ request: Request, context: HTTPContext, next: (Request, HTTPContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        response.headers[.vary] = "Origin"
        guard let origin = request.headers[.origin], access.allowsOrigin(of: request) else { return response }
        response.headers[.accessControlAllowOrigin] = origin
        return response
    }

    /// The answer to a browser that asks before it sends a request.
    static func preflight(methods: [HTTPRequest.Method]) -> Response {
        let allowed = (methods + [.options]).map(\.rawValue).joined(separator: ", ")
        return Response(
            status: .noContent,
            headers: [
                .allow: allowed, .accessControlAllowMethods: allowed,
                .accessControlAllowHeaders: "Authorization, Content-Type, Last-Event-ID",
                .accessControlMaxAge: "600",
            ])
    }
}
