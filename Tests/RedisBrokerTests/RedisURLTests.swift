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
        (
            "redis+sentinel://a/main",
            RedisURL(.sentinel(name: "main", sentinels: [.tcp(host: "a", port: 26379)]))
        ),
        (
            "redis+cluster://a,b:7000",
            RedisURL(.cluster(seeds: [.tcp(host: "a", port: 6379), .tcp(host: "b", port: 7000)]))
        ),
        (
            "rediss+cluster://:pw@[::1]:1/",
            RedisURL(.cluster(seeds: [.tcp(host: "::1", port: 1)]), usesTLS: true, password: "pw")
        ),
        (
            "rediss+sentinel://me:p%40w@a:1,[::1],b:2/my%20main/3?sentinel_user=s&sentinel_password=%26",
            RedisURL(
                .sentinel(
                    name: "my main",
                    sentinels: [.tcp(host: "a", port: 1), .tcp(host: "::1", port: 26379), .tcp(host: "b", port: 2)]),
                usesTLS: true, user: "me", password: "p@w", database: 3, sentinelUser: "s", sentinelPassword: "&")
        ),
    ])
    func accepted(_ text: String, _ url: RedisURL) throws {
        #expect(try RedisURL(text) == url)
    }

    @Test(arguments: [
        ("localhost:6379", "no scheme"),
        ("http://host", "scheme \"http\""),
        ("redis+sentinels://host", "scheme \"redis+sentinels\""),
        ("redis+sentinel://host", "name that the sentinels have"),
        ("redis+sentinel://host//1", "name that the sentinels have"),
        ("redis+sentinel:///main", "lacks a host"),
        ("redis+sentinel://a,,b/main", "lacks a host"),
        ("redis+sentinel://a,:26379/main", "lacks a host"),
        ("redis+sentinel://a:b/main", "port"),
        ("redis+sentinel://fe80::1/main", "brackets"),
        ("redis+sentinel://a/main/x", "database"),
        ("redis+sentinel://a/main?db=1", "sentinel_password"),
        ("redis+sentinel://a/main?sentinel_password=", "sentinel_password is empty"),
        ("redis+sentinel://a/main?sentinel_user=me", "without a sentinel_password"),
        ("redis+sentinel://a/ma%zin", "hexadecimal"),
        ("redis+sentinel://:a#b@a/main", "%23"),
        ("redis+cluster://", "lacks a host"),
        ("redis+cluster://a,", "lacks a host"),
        ("redis+cluster://a/1", "no databases"),
        ("redis+cluster://a?x", "follow its hosts"),
        ("redis+cluster://me@a", "user without a password"),
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

    @Test(arguments: [
        "redis://me:s3cret@host:1/2", "rediss://:s3cret@host", "unix://:s3cret@/run/redis.sock?db=1",
        "redis+sentinel://:s3cret@a,b/main?sentinel_password=s3cret2", "redis+cluster://:s3cret@a,b",
    ])
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
