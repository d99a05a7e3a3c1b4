import ChatProtocol
import HTTPTypes
package import Hummingbird
import NIOCore
import NIOHTTP1

/// The web client: files that are part of the executable.
package struct WebAssets: Sendable {
    struct Asset: Sendable {
        let name: String
        let contentType: String
        let bytes: ByteBuffer
        /// A quoted hash of the content (RFC 9110, section 8.8.3).
        let tag: String

        init(_ name: String, _ contentType: String, _ bytes: [UInt8]) {
            self.name = name
            self.contentType = contentType
            self.bytes = ByteBuffer(bytes: bytes)
            // FNV-1a: it tells versions of a file apart, and guards nothing.
            let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
            self.tag = "\"\(String(hash, radix: 16))-\(bytes.count)\""
        }
    }

    private static let script = "text/javascript; charset=utf-8"

    static let all = [
        Asset("index.html", "text/html; charset=utf-8", PackageResources.index_html),
        Asset("app.js", script, PackageResources.app_js),
        Asset("dom.js", script, PackageResources.dom_js),
        Asset("identity.js", script, PackageResources.identity_js),
        Asset("model.js", script, PackageResources.model_js),
        Asset("shell.js", script, PackageResources.shell_js),
        Asset("timeline.js", script, PackageResources.timeline_js),
        Asset("roost.js", script, PackageResources.roost_js),
        Asset("style.css", "text/css; charset=utf-8", PackageResources.style_css),
        Asset("openapi.json", "application/json; charset=utf-8", PackageResources.openapi_json),
        Asset("icon.svg", "image/svg+xml", PackageResources.icon_svg),
    ]

    /// The page needs nothing but its own files, and a WebSocket to wherever the user says.
    static let contentSecurityPolicy =
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'"

    /// What browsers must not do with the files beside: guess their type, tell others where the user was, frame them,
    /// share a process with pages that open them, or use the machine's devices.
    private static let protections = [
        ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"), ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
    ]

    private let assets: [Asset]

    /// - Parameter needsToken: the node asks for tokens; the page is told so, to ask for one itself.
    package init(needsToken: Bool = false) {
        let said = #"<meta name="roost-authentication" content="none">"#
        assets = Self.all.map { asset in
            guard needsToken, asset.name == "index.html" else { return asset }
            let page = String(buffer: asset.bytes).replacing(said, with: said.replacing("none", with: "token"))
            return Asset(asset.name, asset.contentType, Array(page.utf8))
        }
    }

    /// Adds routes for the files, and for the page at `/`.
    package func add<Context: RequestContext>(to router: Router<Context>) {
        for asset in assets {
            add(asset, at: "/\(asset.name)", to: router)
            if asset.name == "index.html" { add(asset, at: "/", to: router) }
        }
    }

    private func add<Context: RequestContext>(_ asset: Asset, at path: RouterPath, to router: Router<Context>) {
        for method in [HTTPRequest.Method.get, .head] {
            router.on(path, method: method) { request, _ in Self.response(for: asset, to: request) }
        }
        for method in [HTTPRequest.Method.post, .put, .delete, .patch, .options, .trace, .connect] {
            router.on(path, method: method) { _, _ -> Response in
                throw HTTPRefusal(
                    .methodNotAllowed, .methodNotAllowed, "a file can only be read",
                    headers: ["Allow": "GET, HEAD"])
            }
        }
    }

    private static func response(for asset: Asset, to request: Request) -> Response {
        var fields: HTTPFields = [
            .contentType: asset.contentType,
            .eTag: asset.tag,
            .cacheControl: "no-cache",
            .contentSecurityPolicy: contentSecurityPolicy,
        ]
        for (name, value) in protections {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        // Pages of other people may import the client library.
        if asset.name == "roost.js" { fields[.accessControlAllowOrigin] = "*" }
        if let known = request.headers[.ifNoneMatch], matches(known, asset.tag) {
            return Response(status: .notModified, headers: fields)
        }
        return Response(status: .ok, headers: fields, body: .init(byteBuffer: asset.bytes))
    }

    /// Weak comparison with a list of tags (RFC 9110, section 13.1.2).
    private static func matches(_ list: String, _ tag: String) -> Bool {
        list.split(separator: ",").contains { item in
            let item = item.trimmingPrefix { $0 == " " }
            let known = item.reversed().trimmingPrefix { $0 == " " }.reversed()
            let text = String(known)
            return text == "*" || text == tag || text == "W/" + tag
        }
    }
}
