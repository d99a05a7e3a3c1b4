/* The least that does a gateway's work, in C on epoll: what the kernel asks for it.
 *
 *     floor PORT REDIS_PORT [--coalesce]
 *
 * A client's text "+ROOM" joins a room and is answered with "joined"; "ROOM TEXT" is published, as TEXT, on the channel
 * ROOM. What Redis publishes is framed once and sent to every member: by one send() for each message and member, or, to
 * coalesce, all that one read from Redis has brought by one send() for each member. */
#include "common.h"

enum { TABLE = 1 << 18, READ_BYTES = 1 << 20, UNREAD_LIMIT = 64 << 20, PAYLOAD_LIMIT = 65535 };

struct client {
    int fd, room_count, room_capacity;
    bool is_open, waits_to_write;
    struct buffer in, out;
    struct room **rooms;
};

struct room {
    struct room *next;
    struct client **members;
    int count, capacity;
    bool is_subscribed, is_touched;
    struct buffer name, pending;
};

static struct client **clients; /* by descriptor */
static struct room *table[TABLE], **touched;
static size_t touched_count, touched_capacity;
static struct buffer publications, subscriptions, from_redis;
static uint8_t incoming[READ_BYTES];
static int epoll, publisher, subscriber;
static bool coalesces;

/* ---- To clients ---- */

static void wait_to_write(struct client *client, bool waits)
{
    if (client->waits_to_write == waits) return;
    client->waits_to_write = waits;
    watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN | (waits ? EPOLLOUT : 0), client->fd);
}

static void put(struct client *client, const uint8_t *bytes, size_t count)
{
    if (!client->out.length) {
        ssize_t taken = send(client->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken == (ssize_t)count || (taken < 0 && errno != EAGAIN)) return; /* reading tells of an end */
        if (taken > 0) bytes += taken, count -= taken;
    }
    if (client->out.length + count > UNREAD_LIMIT) return;
    append(&client->out, bytes, count);
    wait_to_write(client, true);
}

static void put_what_waits(struct client *client)
{
    ssize_t taken = send(client->fd, client->out.bytes, client->out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken > 0) drop_first(&client->out, taken);
    if (!client->out.length) wait_to_write(client, false);
}

static void append_frame(struct buffer *out, const uint8_t *payload, size_t length)
{
    uint8_t head[4] = { 0x81, length > 125 ? 126 : length, length >> 8, length };
    append(out, head, length > 125 ? 4 : 2);
    append(out, payload, length);
}

static void put_joined(struct client *client) { put(client, (const uint8_t *)"\x81\x06joined", 8); }

/* ---- Rooms ---- */

static struct room *find(const uint8_t *name, size_t length, bool or_make)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ name[i]) * 16777619u;
    struct room **place = &table[hash % TABLE];
    while (*place && ((*place)->name.length != length || memcmp((*place)->name.bytes, name, length))) {
        place = &(*place)->next;
    }
    if (!*place && or_make) {
        *place = calloc(1, sizeof **place);
        if (!*place) fail("no memory");
        append(&(*place)->name, name, length);
    }
    return *place;
}

/* Makes room for one more pointer in an array of them. */
static void *grow(void *array, int count, int *capacity)
{
    if (count < *capacity) return array;
    *capacity = *capacity ? *capacity * 2 : 1;
    array = realloc(array, *capacity * sizeof(void *));
    if (!array) fail("no memory");
    return array;
}

static void join(struct client *client, const uint8_t *name, size_t length)
{
    struct room *room = find(name, length, true);
    room->members = grow(room->members, room->count, &room->capacity);
    room->members[room->count++] = client;
    client->rooms = grow(client->rooms, client->room_count, &client->room_capacity);
    client->rooms[client->room_count++] = room;
    if (room->is_subscribed) {
        put_joined(client);
    } else if (room->count == 1) {
        append_command(&subscriptions, 2, (struct buffer[]){ text("SUBSCRIBE"), room->name });
    }
}

static void end(struct client *client)
{
    for (int i = 0; i < client->room_count; i++) {
        struct room *room = client->rooms[i];
        int at = 0;
        while (room->members[at] != client) at++;
        room->members[at] = room->members[--room->count];
        if (room->count) continue;
        room->is_subscribed = false;
        append_command(&subscriptions, 2, (struct buffer[]){ text("UNSUBSCRIBE"), room->name });
    }
    clients[client->fd] = NULL;
    close(client->fd);
    release(&client->in);
    release(&client->out);
    free(client->rooms);
    free(client);
}

/* ---- From clients ---- */

static bool received_text(struct client *client, uint8_t *payload, size_t length)
{
    if (length > 1 && payload[0] == '+') {
        join(client, payload + 1, length - 1);
        return true;
    }
    uint8_t *space = memchr(payload, ' ', length);
    if (!space) return false;
    size_t name = space - payload;
    append_command(&publications, 3, (struct buffer[]){
        text("PUBLISH"), { payload, name, 0 }, { space + 1, length - name - 1, 0 },
    });
    return true;
}

static bool answer_handshake(struct client *client, size_t *used)
{
    struct buffer *in = &client->in;
    uint8_t *head_end = memmem(in->bytes, in->length, "\r\n\r\n", 4);
    if (!head_end) return in->length < 16384;
    if (!memmem(in->bytes, in->length, HANDSHAKE_KEY, strlen(HANDSHAKE_KEY))) return false;
    struct buffer answer = text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: " HANDSHAKE_ANSWER "\r\n\r\n");
    put(client, answer.bytes, answer.length);
    client->is_open = true;
    *used = head_end + 4 - in->bytes;
    return true;
}

/* Takes the frames out of what a client has sent; false when it must go. */
static bool take_frames(struct client *client)
{
    struct buffer *in = &client->in;
    size_t at = 0;
    if (!client->is_open && !answer_handshake(client, &at)) return false;
    while (client->is_open && in->length - at >= 6) {
        uint8_t *head = in->bytes + at;
        size_t length = head[1] & 127, head_length = 2;
        if (!(head[1] & 128) || length == 127) return false;
        if (length == 126) length = head[2] << 8 | head[3], head_length = 4;
        if (in->length - at < head_length + 4 + length) break;
        uint8_t *mask = head + head_length, *payload = mask + 4;
        for (size_t i = 0; i < length; i++) payload[i] ^= mask[i & 3];
        if ((head[0] & 15) != 1 || !received_text(client, payload, length)) return false;
        at += head_length + 4 + length;
    }
    drop_first(in, at);
    if (!in->length) release(in);
    return true;
}

static void read_client(struct client *client)
{
    ssize_t count = recv(client->fd, incoming, sizeof incoming, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count > 0) append(&client->in, incoming, count);
    if (count <= 0 || !take_frames(client)) end(client);
}

static void accept_clients(int listener)
{
    int fd, on = 1;
    for (int i = 0; i < 64 && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; i++) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        clients[fd] = calloc(1, sizeof *clients[fd]);
        if (!clients[fd]) fail("no memory");
        clients[fd]->fd = fd;
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, fd);
    }
}

/* ---- From Redis ---- */

static void received_message(struct room *room, const uint8_t *payload, size_t length)
{
    if (length > PAYLOAD_LIMIT) fail("a message of %zu bytes", length);
    if (!room->is_touched) {
        room->is_touched = true;
        if (touched_count == touched_capacity) {
            touched_capacity = touched_capacity ? touched_capacity * 2 : 256;
            touched = realloc(touched, touched_capacity * sizeof *touched);
            if (!touched) fail("no memory");
        }
        touched[touched_count++] = room;
    }
    append_frame(&room->pending, payload, length);
}

static void deliver(void)
{
    for (size_t i = 0; i < touched_count; i++) {
        struct room *room = touched[i];
        for (int m = 0; m < room->count; m++) put(room->members[m], room->pending.bytes, room->pending.length);
        room->pending.length = 0;
        room->is_touched = false;
    }
    touched_count = 0;
}

/* One element of an event: "$5\r\nabcde\r\n" or ":1\r\n". Returns where the next begins, NULL when not all is there. */
static uint8_t *element(uint8_t *at, uint8_t *limit, struct buffer *value)
{
    uint8_t *line_end = at < limit ? memchr(at, '\n', limit - at) : NULL;
    if (!line_end) return NULL;
    *value = (struct buffer){ line_end + 1, *at == '$' ? strtoul((char *)at + 1, NULL, 10) : 0, 0 };
    uint8_t *next = line_end + 1 + (*at == '$' ? value->length + 2 : 0);
    return next <= limit ? next : NULL;
}

static void take_events(void)
{
    uint8_t *at = from_redis.bytes, *limit = at + from_redis.length, *next;
    while (limit - at >= 4) {
        struct buffer kind, channel, payload;
        if (memcmp(at, "*3\r\n", 4)) fail("Redis says %.*s", (int)(limit - at > 80 ? 80 : limit - at), (char *)at);
        if (!(next = element(at + 4, limit, &kind)) || !(next = element(next, limit, &channel)) ||
            !(next = element(next, limit, &payload))) {
            break;
        }
        at = next;
        struct room *room = find(channel.bytes, channel.length, false);
        if (!room) continue;
        if (kind.length == strlen("message")) {
            received_message(room, payload.bytes, payload.length);
            if (!coalesces) deliver();
        } else if (kind.length == strlen("subscribe")) {
            room->is_subscribed = true;
            for (int i = 0; i < room->count; i++) put_joined(room->members[i]);
        }
    }
    drop_first(&from_redis, at - from_redis.bytes);
    deliver();
}

static void read_events(void)
{
    ssize_t count = recv(subscriber, reserve(&from_redis, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
    if (count == 0) fail("Redis has closed the connection");
    if (count < 0) return;
    from_redis.length += count;
    take_events();
}

static void read_replies(void)
{
    ssize_t count = recv(publisher, incoming, sizeof incoming, MSG_DONTWAIT);
    if (count == 0) fail("Redis has closed the connection");
    if (count > 0 && memchr(incoming, '-', count)) fail("Redis says %.*s", (int)count, (char *)incoming);
}

/* Waits until Redis has taken it: that is the back-pressure. */
static void flush(int fd, struct buffer *out)
{
    for (size_t at = 0; at < out->length;) {
        ssize_t taken = send(fd, out->bytes + at, out->length - at, MSG_NOSIGNAL);
        if (taken < 0) fail("cannot write to Redis: %s", strerror(errno));
        at += taken;
    }
    out->length = 0;
}

int main(int count, char **arguments)
{
    if (count < 3) fail("usage: floor PORT REDIS_PORT [--coalesce]");
    coalesces = count > 3 && !strcmp(arguments[3], "--coalesce");
    raise_descriptor_limit();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    clients = calloc(limit.rlim_cur, sizeof *clients);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    publisher = connect_to(atoi(arguments[2]));
    subscriber = connect_to(atoi(arguments[2]));
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = loopback(atoi(arguments[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        fail("cannot listen on port %s: %s", arguments[1], strerror(errno));
    }
    const int own[] = { listener, publisher, subscriber };
    for (int i = 0; i < 3; i++) watch(epoll, EPOLL_CTL_ADD, own[i], EPOLLIN, own[i]);
    for (;;) {
        struct epoll_event events[512];
        int ready = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.u64;
            struct client *client = clients[fd];
            if (fd == listener) accept_clients(listener);
            else if (fd == subscriber) read_events();
            else if (fd == publisher) read_replies();
            else if (client) {
                if (events[i].events & EPOLLOUT) put_what_waits(client);
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_client(client);
            }
        }
        flush(publisher, &publications);
        flush(subscriber, &subscriptions);
    }
}
