package import Logging
import NIOConcurrencyHelpers
import NIOSSL

/// Where a node's certificate is, in PEM form.
package struct TLSFiles: Sendable, Equatable {
    /// The certificate first, then those that vouch for it.
    package var certificate: String
    package var key: String
    /// Certificates of which one must vouch for each client; nil: clients need none.
    package var clientAuthorities: String?

    package init(certificate: String, key: String, clientAuthorities: String? = nil) {
        self.certificate = certificate
        self.key = key
        self.clientAuthorities = clientAuthorities
    }
}

/// A certificate and key cannot be used; says why, never the key.
package struct TLSFilesError: Error, Sendable, CustomStringConvertible {
    package var description: String
}

/// What a node proves itself with. New connections get the certificate of the moment, those that stand keep theirs.
package final class TLSIdentity: Sendable {
    private let files: TLSFiles
    private let context: NIOLockedValueBox<NIOSSLContext>
    private let logger: Logger

    /// - Throws: ``TLSFilesError``.
    package init(_ files: TLSFiles, logger: Logger) throws {
        self.files = files
        self.logger = logger
        context = NIOLockedValueBox(try Self.load(files))
    }

    /// The first handler of a new connection.
    func makeHandler() -> NIOSSLServerHandler {
        NIOSSLServerHandler(context: context.withLockedValue { $0 })
    }

    /// The files to watch.
    var paths: [String] { [files.certificate, files.key] + (files.clientAuthorities.map { [$0] } ?? []) }

    /// Reads the files again. What cannot be used leaves that of before in force: certificate and key are replaced one
    /// after the other.
    func reload() {
        do {
            let fresh = try Self.load(files)
            context.withLockedValue { $0 = fresh }
            logger.notice("The certificate was read again", metadata: ["file": "\(files.certificate)"])
        } catch {
            logger.error("The certificate stays as it was", metadata: ["error": "\(error)"])
        }
    }

    private static func load(_ files: TLSFiles) throws(TLSFilesError) -> NIOSSLContext {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMFile(files.certificate)
        } catch {
            throw TLSFilesError(description: "there is no certificate in PEM form in \(files.certificate)")
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: files.key, format: .pem)
        } catch {
            throw TLSFilesError(description: "there is no private key in PEM form in \(files.key)")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        if let authorities = files.clientAuthorities {
            configuration.certificateVerification = .noHostnameVerification
            do {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authorities))
            } catch {
                throw TLSFilesError(description: "there are no certificates in PEM form in \(authorities)")
            }
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw TLSFilesError(
                description: "the key in \(files.key) is not that of the certificate in \(files.certificate)")
        }
    }
}
