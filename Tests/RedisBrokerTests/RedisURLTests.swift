import RedisBroker
import Testing

@Suite("Redis URLs")
struct RedisURLTests {
    @Test(arguments: [
        ("redis://localhost", RedisURL(endpoint: .tcp(host: "localhost", port: 6379))),
        ("redis://", RedisURL(endpoint: .tcp(host: "127.0.0.1", port: 6379))),
        ("redis://:7000", RedisURL(endpoint: .tcp(host: "127.0.0.1", port: 7000))),
        ("REDIS://redis.example:1/5", RedisURL(endpoint: .tcp(host: "redis.example", port: 1), database: 5)),
        ("redis://host/", RedisURL(endpoint: .tcp(host: "host", port: 6379))),
        ("redis://[::1]:7000/2", RedisURL(endpoint: .tcp(host: "::1", port: 7000), database: 2)),
        ("redis://:secret@host", RedisURL(endpoint: .tcp(host: "host", port: 6379), password: "secret")),
        (
            "redis://me:se%20c%2Fret@host",
            RedisURL(endpoint: .tcp(host: "host", port: 6379), user: "me", password: "se c/ret")
        ),
        ("redis://m%40e:a@b:c@host:1", RedisURL(endpoint: .tcp(host: "host", port: 1), user: "m@e", password: "a@b:c")),
        ("rediss://host:6380", RedisURL(endpoint: .tcp(host: "host", port: 6380), usesTLS: true)),
        ("unix:///run/redis.sock", RedisURL(endpoint: .unixSocket(path: "/run/redis.sock"))),
        (
            "unix://me:pw@/run/my%20redis.sock?db=3",
            RedisURL(endpoint: .unixSocket(path: "/run/my redis.sock"), user: "me", password: "pw", database: 3)
        ),
    ])
    func accepted(_ text: String, _ url: RedisURL) throws {
        #expect(try RedisURL(text) == url)
    }

    @Test(arguments: [
        ("localhost:6379", "no scheme"),
        ("http://host", "scheme \"http\""),
        ("redis+sentinel://host", "scheme \"redis+sentinel\""),
        ("redis://host:0", "port"),
        ("redis://host:65536", "port"),
        ("redis://host:", "port"),
        ("redis://host:+1", "port"),
        ("redis://::1", "brackets"),
        ("redis://[::1", "not closed"),
        ("redis://[::1]x", "port"),
        ("redis://host/x", "database"),
        ("redis://host/1/2", "database"),
        ("redis://host/-1", "database"),
        ("redis://host/1?ssl=1", "follow the database"),
        ("redis://user@host", "user without a password"),
        ("redis://user:@host", "password is empty"),
        ("redis://:a%zz@host", "hexadecimal"),
        ("redis://:a%f@host", "hexadecimal"),
        ("redis://:%ff@host", "UTF-8"),
        ("redis://ho st", "white space"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://", "absolute path"),
        ("unix:///", "empty"),
        ("unix:///run/redis.sock?database=1", "?db=N"),
    ])
    func refused(_ text: String, _ reason: String) throws {
        let error = try #require(throws: RedisURLError.self) { try RedisURL(text) }
        #expect(error.description.contains(reason))
        #expect(error.description.contains(RedisURL.acceptedForms), "says what would be accepted")
    }

    @Test(arguments: ["redis://me:s3cret@host:1/2", "rediss://:s3cret@host", "unix://:s3cret@/run/redis.sock?db=1"])
    func aPasswordIsNeverShown(_ text: String) throws {
        let url = try RedisURL(text)
        var dumped = ""
        dump(RedisBrokerConfiguration(url: url, node: "node"), to: &dumped)
        for shown in [url.description, "\(url)", String(reflecting: url), dumped] {
            #expect(!shown.contains("s3cret"))
        }
        #expect(url.description.contains("…@"), "but that there is one")
    }

    @Test func aWrongPasswordDoesNotAppearInTheError() throws {
        let error = try #require(throws: RedisURLError.self) { try RedisURL("redis://me:s3cret@host:99999") }
        #expect(!"\(error)".contains("s3cret"))
    }
}
