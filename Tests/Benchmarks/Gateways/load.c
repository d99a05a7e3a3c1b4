/* Loads gateways and checks them: clients join rooms and publish, and each receiver recognises every message by a
 * marker in its text, wherever the gateway puts that. One thread. At full load it never sleeps, so that nobody pays for
 * waking it; at a rate it sleeps until something comes or is due, as Redis has the same core and both are to be in time.
 * Prints one JSON object; options.h says what it takes.
 *
 * Client i is member i / ROOMS of room i % ROOMS, at the target i / ROOMS % TARGETS: each room is spread over all. */
#include "common.h"
#include "options.h"
#include "spread.h"
#include "usage.h"

#include <sched.h>
#include <sys/prctl.h>

enum { READ_BYTES = 256 << 10, HANDSHAKES = 128 };

/* What one receiver has seen of one publisher: the number that comes next, and which of the 64 before it came. */
struct progress {
    uint32_t next;
    uint64_t seen;
};

struct client {
    int fd, room, member, target, awaited;
    bool is_open, waits_to_write, is_to_publish;
    uint32_t sent, echoed;
    struct buffer in, out, publish; /* in `publish` the marker's place is `marker_at` */
    size_t marker_at;
    struct progress *progress;
};

static struct client *clients, **to_publish;
static int client_count, to_publish_count, opened, ready_count, epoll;
static uint8_t incoming[READ_BYTES];
static struct spread latency, cross_latency;
static uint64_t sent, delivered, distinct, duplicated, reordered, misrouted;
static int64_t publish_until, measure_from;

/* ---- Writing ---- */

static void wait_to_write(struct client *client, bool waits)
{
    if (client->waits_to_write == waits) return;
    client->waits_to_write = waits;
    watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN | (waits ? EPOLLOUT : 0), client - clients);
}

static void put_what_waits(struct client *client)
{
    ssize_t taken = send(client->fd, client->out.bytes, client->out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0 && errno != EAGAIN) fail("client %ld cannot write: %s", (long)(client - clients), strerror(errno));
    if (taken > 0) drop_first(&client->out, taken);
    wait_to_write(client, client->out.length > 0);
}

/* One frame, masked as those of clients are. */
static void append_frame(struct buffer *out, int opcode, const uint8_t *payload, size_t length)
{
    static const uint8_t mask[4] = { 0x5a, 0xc3, 0x17, 0xe9 };
    uint8_t head[4] = { 0x80 | opcode, 0x80 | (length > 125 ? 126 : length), length >> 8, length };
    append(out, head, length > 125 ? 4 : 2);
    append(out, mask, 4);
    uint8_t *masked = reserve(out, length);
    for (size_t i = 0; i < length; i++) masked[i] = payload[i] ^ mask[i & 3];
    out->length += length;
}

static const char hexadecimal[] = "0123456789abcdef";

static void write_hex(uint8_t *at, uint64_t value, int digits)
{
    for (; digits > 0; value >>= 4) at[--digits] = hexadecimal[value & 15];
}

/* Appends one message: ~TIME.PUBLISHER.COUNTER~, in hexadecimal digits, 16, 8 and 8 of them. */
static void append_message(struct client *client, int64_t time)
{
    uint8_t *marker = client->publish.bytes + client->marker_at;
    write_hex(marker + 1, time, 16);
    write_hex(marker + 18, client - clients, 8);
    write_hex(marker + 27, client->sent++, 8);
    append_frame(&client->out, 1, client->publish.bytes, client->publish.length);
    sent++;
}

static void fill_window(struct client *client, int64_t time)
{
    if (time >= publish_until) return;
    while (client->sent - client->echoed < (uint32_t)options.window) append_message(client, time);
    if (client->out.length) put_what_waits(client);
}

/* ---- Templates ---- */

/* Replaces {user}, {room}, {marker} and {pad}; room `number` is one of `rooms_each` of each client. */
static struct buffer expand(const char *template, const struct client *client, int number)
{
    struct buffer out = { 0 };
    char value[TEXT_LIMIT];
    while (*template) {
        size_t length = 1;
        const char *close = *template == '{' ? strchr(template, '}') : NULL;
        size_t name = close ? close + 1 - template : 0;
        if (name == 6 && !memcmp(template, "{user}", 6)) {
            length = snprintf(value, sizeof value, "u%ld", (long)(client - clients)), template += name;
        } else if (name == 6 && !memcmp(template, "{room}", 6)) {
            int room = options.rooms_each == 1 ? client->room : (int)(client - clients) * options.rooms_each + number;
            length = snprintf(value, sizeof value, "r%d", room), template += name;
        } else if (name == 8 && !memcmp(template, "{marker}", 8)) {
            memset(value, '~', length = MARKER), template += name;
            value[17] = value[26] = '.';
        } else if (name == 5 && !memcmp(template, "{pad}", 5)) {
            memset(value, 'x', length = options.payload - MARKER), template += name;
        } else {
            value[0] = *template++;
        }
        append(&out, value, length);
    }
    return out;
}

static void prepare(struct client *client)
{
    client->progress = calloc(options.publishers, sizeof *client->progress);
    if (!client->progress) fail("no memory");
    if (client->member >= options.publishers || !options.publish) return;
    client->publish = expand(options.publish, client, 0);
    uint8_t *marker = memmem(client->publish.bytes, client->publish.length, "~~~~~~~~~~~~~~~~~.", 18);
    if (!marker) fail("--publish needs {marker}");
    client->marker_at = marker - client->publish.bytes;
    append(&client->publish, "", 1); /* so that text functions may read it */
    client->publish.length--;
}

/* ---- Reading ---- */

/* Eight hexadecimal digits at once: each becomes its value, then neighbours are put together. */
static inline uint32_t read_hex(const uint8_t *at)
{
    uint64_t digits;
    memcpy(&digits, at, 8);
    digits = (digits & 0x0f0f0f0f0f0f0f0f) + 9 * (digits >> 6 & 0x0101010101010101);
    digits = __builtin_bswap64(digits);
    digits = (digits | digits >> 4) & 0x00ff00ff00ff00ff;
    digits = (digits | digits >> 8) & 0x0000ffff0000ffff;
    return digits | digits >> 16;
}

static void received(struct client *client, const uint8_t *marker, int64_t time)
{
    int64_t intended = (int64_t)((uint64_t)read_hex(marker + 1) << 32 | read_hex(marker + 9));
    uint32_t from = read_hex(marker + 18), counter = read_hex(marker + 27);
    struct client *publisher = from < (uint32_t)client_count ? &clients[from] : NULL;
    delivered++;
    if (!publisher || publisher->room != client->room || publisher->member >= options.publishers) {
        misrouted++;
        return;
    }
    struct progress *progress = &client->progress[publisher->member];
    if (counter >= progress->next) {
        uint32_t step = counter - progress->next + 1;
        progress->seen = step < 64 ? progress->seen << step | 1 : 1;
        progress->next = counter + 1;
    } else {
        uint32_t back = progress->next - 1 - counter;
        if (back >= 64 || progress->seen >> back & 1) {
            duplicated++;
            return;
        }
        progress->seen |= 1ull << back;
        reordered++;
    }
    distinct++;
    if (intended >= measure_from && intended < publish_until) {
        record(&latency, time - intended);
        if (publisher->target != client->target) record(&cross_latency, time - intended);
    }
    if (publisher == client && options.window) {
        client->echoed = counter + 1;
        if (!client->is_to_publish) {
            client->is_to_publish = true;
            to_publish[to_publish_count++] = client;
        }
    }
}

static void received_text(struct client *client, const uint8_t *payload, size_t length, int64_t time)
{
    const uint8_t *at = payload, *limit = payload + length;
    while ((at = memchr(at, '~', limit - at))) {
        if (limit - at >= MARKER && at[17] == '.' && at[26] == '.' && at[35] == '~') {
            received(client, at, time);
            return;
        }
        at++;
    }
    if (client->awaited > 0 && options.ready && memmem(payload, length, options.ready, strlen(options.ready))) {
        if (--client->awaited == 0) ready_count++;
    }
}

/* Takes the whole frames that stand there; returns how many bytes they have. */
static size_t take_frames(struct client *client, uint8_t *bytes, size_t count, int64_t time)
{
    size_t at = 0;
    while (count - at >= 2) {
        uint8_t *head = bytes + at;
        size_t length = head[1], head_length = 2;
        if (length == 126) {
            if (count - at < 4) break;
            length = head[2] << 8 | head[3], head_length = 4;
        } else if (length == 127) {
            if (count - at < 10) break;
            head_length = 10;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | head[i];
        }
        if (count - at < head_length + length) break;
        uint8_t *payload = head + head_length;
        switch (head[0]) {
        case 0x81: received_text(client, payload, length, time); break;
        case 0x89:
            append_frame(&client->out, 10, payload, length);
            put_what_waits(client);
            break;
        case 0x88:
            fail("client %ld was closed with %d %.*s", (long)(client - clients),
                 length < 2 ? 0 : payload[0] << 8 | payload[1], length < 2 ? 0 : (int)length - 2, (char *)payload + 2);
        default: fail("client %ld got a frame that begins with %02x", (long)(client - clients), head[0]);
        }
        at += head_length + length;
    }
    return at;
}

static bool take_answer(struct client *client)
{
    struct buffer *in = &client->in;
    uint8_t *head_end = memmem(in->bytes, in->length, "\r\n\r\n", 4);
    if (!head_end) return false;
    if (!memmem(in->bytes, in->length, " 101 ", 5) ||
        !memmem(in->bytes, in->length, HANDSHAKE_ANSWER, strlen(HANDSHAKE_ANSWER))) {
        fail("the handshake was answered with %.*s", (int)in->length, (char *)in->bytes);
    }
    drop_first(in, head_end + 4 - in->bytes);
    client->is_open = true;
    opened++;
    return true;
}

static void read_client(struct client *client)
{
    ssize_t count = recv(client->fd, incoming, sizeof incoming, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) fail("client %ld lost its connection", (long)(client - clients));
    int64_t time = now();
    if (client->is_open && !client->in.length) {
        size_t used = take_frames(client, incoming, count, time);
        append(&client->in, incoming + used, count - used);
    } else {
        append(&client->in, incoming, count);
        if (client->is_open || take_answer(client)) {
            drop_first(&client->in, take_frames(client, client->in.bytes, client->in.length, time));
        }
    }
    if (!client->in.length) release(&client->in);
}

/* ---- Phases ---- */

/* Handles what has come. Waits for it until then, if that is to come. */
static void turn_until(int64_t time_to_go_on)
{
    struct epoll_event events[512];
    int64_t wait = time_to_go_on ? time_to_go_on - now() : 0;
    struct timespec patience = {.tv_nsec = wait < 0 ? 0 : wait > 1000000 ? 1000000 : wait};
    int ready = epoll_pwait2(epoll, events, 512, &patience, NULL);
    /* Redis has the same core. */
    if (ready <= 0 && !time_to_go_on) sched_yield();
    for (int i = 0; i < ready; i++) {
        struct client *client = &clients[events[i].data.u64];
        if (events[i].events & EPOLLOUT) put_what_waits(client);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_client(client);
    }
    int64_t time = to_publish_count ? now() : 0;
    for (int i = 0; i < to_publish_count; i++) {
        to_publish[i]->is_to_publish = false;
        fill_window(to_publish[i], time);
    }
    to_publish_count = 0;
}

static void turn(void)
{
    turn_until(0);
}

static void pass(double seconds)
{
    for (int64_t until = now() + seconds * 1e9; now() < until;) turn();
}

static void start_connecting(struct client *client)
{
    int port = options.targets[client->target], on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(port);
    if (client->fd < 0 ||
        (connect(client->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)) {
        fail("client %ld cannot connect: %s", (long)(client - clients), strerror(errno));
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct buffer path = expand(options.path, client, 0);
    char head[TEXT_LIMIT];
    append(&client->out, head, snprintf(head, sizeof head,
        "GET %.*s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " HANDSHAKE_KEY "\r\n\r\n",
        (int)path.length, (char *)path.bytes, port));
    release(&path);
    watch(epoll, EPOLL_CTL_ADD, client->fd, EPOLLIN | EPOLLOUT, client - clients);
    client->waits_to_write = true;
}

static void start_joining(struct client *client)
{
    client->awaited = options.rooms_each;
    for (int i = 0; i < options.rooms_each; i++) {
        struct buffer join = expand(options.join, client, i);
        append_frame(&client->out, 1, join.bytes, join.length);
        release(&join);
    }
    put_what_waits(client);
}

/* Lets all clients begin something, some of them at a time, until `done` counts them all. Returns the seconds. */
static double in_turns(void (*begin)(struct client *), const int *done)
{
    int64_t from = now();
    for (int begun = 0; *done < client_count; turn()) {
        while (begun < client_count && begun - *done < HANDSHAKES) begin(&clients[begun++]);
        if (now() - from > options.timeout * 1e9) {
            fail("after %.0f s only %d of %d clients", options.timeout, *done, client_count);
        }
    }
    return (now() - from) / 1e9;
}

#define SAMPLE(moment) for (int i = 0; i < watched_count; i++) watched[i].moment = usage_of(watched[i].pid)

static uint64_t expected(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < client_count; i++) sum += (uint64_t)clients[i].sent * options.members;
    return sum;
}

static void publish(void)
{
    int publishers = options.rooms * options.publishers, at = 0;
    int64_t begin = now(), step = options.rate > 0 ? 1e9 / options.rate : 0, due = begin;
    measure_from = begin + options.warmup * 1e9;
    publish_until = measure_from + options.duration * 1e9;
    for (int i = 0; i < publishers && options.window; i++) {
        fill_window(&clients[i], now());
        if (i % 64 == 63) turn();
    }
    uint64_t sent_before = 0, delivered_before = 0;
    bool is_measuring = false;
    for (int64_t time; (time = now()) < publish_until; turn_until(step ? due : 0)) {
        if (!is_measuring && time >= measure_from) {
            is_measuring = true;
            measure_from = time;
            SAMPLE(begin);
            sent_before = sent, delivered_before = delivered;
        }
        for (; step && due <= time; due += step, at = (at + 1) % publishers) {
            append_message(&clients[at], due);
            put_what_waits(&clients[at]);
        }
    }
    SAMPLE(end);
    double seconds = (now() - measure_from) / 1e9;
    printf(",\"seconds\":%.4f,\"published\":%lu,\"deliveries\":%lu", seconds, sent - sent_before,
           delivered - delivered_before);
    /* What is still under way has three seconds from the last that came. */
    uint64_t seen = delivered;
    for (int64_t last = now(); distinct < expected() && now() - last < 3e9;) {
        for (int i = 0; i < 1000; i++) turn();
        if (delivered != seen) seen = delivered, last = now();
    }
}

/* ---- The command ---- */

static void print_usage_of_others(void)
{
    for (struct watched *one = watched; one < watched + watched_count; one++) {
        printf("%s{\"name\":\"%s\",\"connecting\":%.6f,\"joining\":%.6f,\"idling\":%.6f,\"publishing\":%.6f,"
               "\"bytes\":{\"start\":%ld,\"open\":%ld,\"joined\":%ld,\"end\":%ld}}", one == watched ? "" : ",", one->name,
               one->open.seconds - one->at_start.seconds, one->joined.seconds - one->open.seconds,
               one->after_idle.seconds - one->joined.seconds, one->end.seconds - one->begin.seconds,
               one->at_start.bytes, one->open.bytes, one->joined.bytes, one->after_idle.bytes);
    }
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    raise_descriptor_limit();
    /* Sleeps end when they should, not up to 50 us later. */
    prctl(PR_SET_TIMERSLACK, 1);
    client_count = options.rooms * options.members;
    clients = calloc(client_count, sizeof *clients);
    to_publish = calloc(client_count, sizeof *to_publish);
    if (!clients || !to_publish) fail("no memory");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < client_count; i++) {
        clients[i].room = i % options.rooms;
        clients[i].member = i / options.rooms;
        clients[i].target = clients[i].member % options.target_count;
        prepare(&clients[i]);
    }
    SAMPLE(at_start);
    double connecting = in_turns(start_connecting, &opened);
    SAMPLE(open);
    double joining = options.join ? in_turns(start_joining, &ready_count) : 0;
    pass(options.settle);
    SAMPLE(joined);
    fputs("joined\n", stderr);
    pass(options.idle);
    SAMPLE(after_idle);
    printf("{\"clients\":%d,\"connectSeconds\":%.4f,\"joinSeconds\":%.4f,\"idleSeconds\":%.1f", client_count,
           connecting, joining, options.idle);
    if (!options.idle) {
        publish();
        printf(",\"sent\":%lu,\"missing\":%lu,\"duplicated\":%lu,\"reordered\":%lu,\"misrouted\":%lu", sent,
               expected() - distinct, duplicated, reordered, misrouted);
        print_spread("latency", &latency);
        if (options.target_count > 1) print_spread("crossLatency", &cross_latency);
    }
    printf(",\"processes\":[");
    print_usage_of_others();
    puts("]}");
}
