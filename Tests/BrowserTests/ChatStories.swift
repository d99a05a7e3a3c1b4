import TestSupport
import Testing

/// People in browsers, each on a node of their own, before a cluster as it is deployed.
@Suite(.serialized)
struct ChatStories {
    @Test("Two people on two nodes come, chat, see each other type, and go")
    func twoPeopleTwoNodes() async throws {
        try await withTwoPeople { cluster, alice, bob in
            #expect(try await alice.node() == cluster.nodes[0].node)
            #expect(try await bob.node() == cluster.nodes[1].node)
            try await alice.untilMembers(are: ["alice", "bob"])
            try await bob.untilMembers(are: ["alice", "bob"])

            try await alice.type("Hello", into: "#text")
            try await bob.untilTyping(is: "alice is typing…")
            try await alice.say(", Bob")
            try await bob.untilSaid("Hello, Bob", by: "alice")
            try await bob.untilTyping(is: "")
            try await alice.untilSaid("Hello, Bob", by: "alice")
            try await alice.until("the ack shows", "document.querySelector('.own .state[title=Stored]')")
            try await bob.say("Hello, Alice")
            try await alice.untilSaid("Hello, Alice", by: "bob")
            #expect(try await alice.texts() == ["Hello, Bob", "Hello, Alice"])
            #expect(try await bob.texts() == ["Hello, Bob", "Hello, Alice"])

            try await bob.visit("about:blank")
            try await alice.untilMembers(are: ["alice"])
            try await alice.until(
                "the list tells so", "[...document.querySelectorAll('.notice')].at(-1).textContent === 'bob left'")
        }
    }

    @Test("A stopped typist is forgotten at once, because the page says so")
    func typingEnds() async throws {
        try await withTwoPeople { _, alice, bob in
            try await alice.type("H", into: "#text")
            try await bob.untilTyping(is: "alice is typing…")
            try await alice.type(Key.backspace, into: "#text")
            try await bob.untilTyping(is: "")
        }
    }

    @Test("What is said elsewhere is counted, and reading it ends the count")
    func unreadCounts() async throws {
        try await withTwoPeople { _, alice, bob in
            try await alice.join("birds")
            try await bob.say("one")
            try await bob.say("two")
            try await alice.untilUnread(2, in: "general")
            try await alice.until("the title tells so", "document.title.startsWith('(2)')")
            try await alice.select("general")
            try await alice.untilSaid("two", by: "bob")
            try await alice.until("a line divides old from new", "document.querySelector('.divider')")
            try await alice.untilUnread(0, in: "general")

            try await alice.select("birds")
            try await bob.say("three")
            try await alice.untilUnread(1, in: "general")
            try await alice.reload()
            try await alice.untilUnread(1, in: "general")
        }
    }

    @Test("A direct message reaches one person, on whatever node, and is kept in both conversations")
    func directMessages() async throws {
        try await withTwoPeople { cluster, alice, bob in
            try await alice.untilMembers(are: ["alice", "bob"])
            try await alice.click("#members [data-user='bob'] .go")
            try await alice.until("the conversation is shown", "document.querySelector('#title').textContent === 'bob'")
            try await alice.say("psst")
            try await alice.untilSaid("psst", by: "alice")
            try await bob.untilUnread(1, in: "@alice")
            #expect(try await bob.texts() == [])

            try await bob.select("@alice")
            try await bob.untilSaid("psst", by: "alice")
            try await bob.say("what is it?")
            try await alice.untilSaid("what is it?", by: "bob")
            #expect(try await alice.texts() == ["psst", "what is it?"])

            try await bob.visit("\(Page.address(cluster.nodes[2].url))?user=bob#@alice")
            try await bob.untilSaid("what is it?", by: "bob")
            #expect(try await bob.texts() == ["psst", "what is it?"])
        }
    }

    @Test("Whoever comes late sees the latest, and scrolls back to the first, without losing the place")
    func scrollBack() async throws {
        try await withTwoPeople { cluster, alice, bob in
            let sent: [String] = try await alice.evaluateAsync(
                """
                const { connect } = await import("/roost.js");
                const chat = connect({ user: "alice" });
                await chat.join("long");
                const texts = Array.from({ length: 180 }, (_, number) => `line ${number + 1}`);
                await Promise.all(texts.map((text) => chat.send("long", text)));
                chat.close();
                return texts;
                """)
            try await bob.visit("about:blank")
            try await bob.enter(cluster.nodes[1].url, as: "bob", room: "long")
            try await bob.untilSaid("line 180", by: "alice")
            #expect(try await bob.texts() == Array(sent.suffix(50)))
            let end = "document.querySelector('#scroller').scrollTop + document.querySelector('#scroller').clientHeight"
            try await bob.until("the end is in sight", "\(end) > document.querySelector('#scroller').scrollHeight - 50")

            // One page more: the line that was on top stays where it was.
            let before: Double = try await bob.evaluate(
                """
                document.querySelector('#scroller').scrollTop = 300;
                window.line = document.querySelector('.message[data-position]');
                while (window.line.getBoundingClientRect().bottom < document.querySelector('#scroller').getBoundingClientRect().top)
                  window.line = window.line.nextElementSibling;
                return window.line.getBoundingClientRect().top;
                """)
            try await bob.until("older ones are loaded", "document.querySelectorAll('.message').length === 100")
            let after: Double = try await bob.evaluate("return window.line.getBoundingClientRect().top")
            #expect(abs(after - before) < 2)

            try await eventually("the first line is there") {
                try await bob.run("document.querySelector('#scroller').scrollTop = 0")
                return try await bob.texts().count == 180 ? true : nil
            }
            #expect(try await bob.texts() == sent)
            try await bob.until("the beginning is told", "document.querySelector('.start')")
            try await bob.click("#latest")
            try await bob.until("the end is in sight again", "document.querySelector('#latest').hidden")
        }
    }

    @Test("Markup in texts, names and rooms is text")
    func hostileText() async throws {
        try await withTwoPeople { cluster, alice, bob in
            let hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
            try await bob.say(hostile)
            try await bob.say("see javascript:alert(1) and https://example.com/<b>?a=1&b=2")
            try await alice.untilSaid(hostile, by: "bob")
            try await alice.untilSaid("see javascript:alert(1) and https://example.com/<b>?a=1&b=2", by: "bob")
            let links: [String] = try await alice.evaluate(
                "return [...document.querySelectorAll('.bubble a')].map((link) => `${link.href} ${link.rel}`)")
            #expect(links == ["https://example.com/ noopener noreferrer nofollow"])
            #expect(
                try await alice.evaluate("return document.querySelectorAll('.bubble :not(a)').length", as: Int.self)
                    == 0)

            try await alice.type(hostile + Key.enter, into: "#join-name")
            try await alice.until("the name is refused", "!document.querySelector('#join-error').hidden")
            #expect(
                try await alice.evaluate(
                    "return document.querySelectorAll('#join-form :is(img, script)').length", as: Int.self) == 0)
            let hash = "%3Cimg%20src=x%20onerror=alert(1)%3E"
            try await alice.visit("\(Page.address(cluster.nodes[0].url))?user=\(hash)#\(hash)")
            try await alice.until("the name is refused", "!document.querySelector('#door-error').hidden")
            #expect(try await alice.evaluate("return document.querySelectorAll('#door img').length", as: Int.self) == 1)
            try await alice.until("nothing was run", "document.title === 'Roost'")
            #expect(try await alice.log() == [])
            #expect(try await bob.log() == [])
        }
    }

    @Test("A reload keeps the name, the rooms and the one that was open")
    func reload() async throws {
        try await withCluster { cluster, chrome in
            let page = try await chrome.page()
            try await page.visit(Page.address(cluster.nodes[0].url))
            try await page.type("no spaces please" + Key.enter, into: "#name")
            try await page.until("the rules are told", "!document.querySelector('#door-error').hidden")
            try await page.run("document.querySelector('#name').value = ''")
            try await page.type("carol" + Key.enter, into: "#name")
            try await page.untilIn("general", as: "carol")
            try await page.join("birds")
            try await page.join("@dave")
            try await page.join("cats")
            try await page.click("[data-room='general'] .leave")
            try await page.reload()
            try await page.untilIn("cats", as: "carol")
            let shown: [String] = try await page.evaluate(
                "return [...document.querySelectorAll('[data-room]')].map((line) => line.dataset.room)")
            #expect(shown == ["birds", "cats", "@dave"])
            try await page.until("the open one is shown", "document.querySelector('#title').textContent === '# cats'")
        }
    }

    @Test("On a narrow screen the side bars are drawers, and nothing sticks out")
    func narrow() async throws {
        try await withCluster { cluster, chrome in
            let page = try await chrome.page(width: 360, height: 640)
            try await page.enter(cluster.nodes[0].url, as: "alice")
            try await page.say(String(repeating: "longword", count: 40))
            try await page.untilSaid(String(repeating: "longword", count: 40), by: "alice")
            try await page.until(
                "nothing sticks out",
                "document.documentElement.scrollWidth <= 360 && document.querySelector('#room').scrollWidth <= 360")
            try await page.click("#sidebar-open")
            try await page.until(
                "the drawer is open", "document.querySelector('#sidebar').getBoundingClientRect().left === 0")
            try await page.join("birds")
            try await page.until(
                "the drawer is closed", "document.querySelector('#sidebar').getBoundingClientRect().right <= 0")
            try await page.click("#people-open")
            try await page.until(
                "the people are in sight", "document.querySelector('#people').getBoundingClientRect().right <= 360")
        }
    }

    @Test("A message that is too long is told before it is sent")
    func tooLong() async throws {
        try await withCluster { cluster, chrome in
            let page = try await chrome.page()
            try await page.enter(cluster.nodes[0].url, as: "alice")
            try await page.run(
                """
                const field = document.querySelector('#text');
                field.value = 'ä'.repeat(8200);
                field.dispatchEvent(new Event('input'));
                """)
            try await page.until("it is told", "document.querySelector('#room-left').textContent.includes('too long')")
            try await page.until("it cannot be sent", "document.querySelector('#send').disabled")
        }
    }
}
