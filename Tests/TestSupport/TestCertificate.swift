package import Foundation

/// A certificate for `localhost` and 127.0.0.1 that vouches for itself, made with the openssl command.
package struct TestCertificate: Sendable {
    /// Files in PEM form.
    package let certificate: String
    package let key: String

    /// - Parameter folder: Where the files go; they live as long as it.
    package static func make(in folder: URL) async throws -> TestCertificate {
        let made = TestCertificate(
            certificate: folder.appending(path: "certificate.pem").path(), key: folder.appending(path: "key.pem").path()
        )
        let openssl = try ChildProcess(
            "openssl", executable: "openssl",
            arguments: [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", made.key, "-out", made.certificate,
            ], folder: folder)
        guard await openssl.end() == .exited(0) else {
            throw Impatience(description: "openssl made no certificate: \(openssl.output)")
        }
        return made
    }
}
