/* How long Redis itself takes from PUBLISH to a subscriber: what no gateway between two nodes can undercut.
 *
 *     redis-latency REDIS_PORT RATE SECONDS PAYLOAD
 *
 * Counts from when a message was due, and sleeps until something comes or is due, as the load generator does at a rate.
 * Prints one JSON object. */
#include "common.h"
#include "spread.h"

#include <poll.h>
#include <sys/prctl.h>

static struct spread latency;

/* Takes the time out of each whole event: its payload begins with "~" and 16 hexadecimal digits. */
static void take_events(struct buffer *in, size_t payload)
{
    size_t used = 0;
    int64_t time = now();
    for (uint8_t *at; (at = memchr(in->bytes + used, '~', in->length - used));) {
        if (in->length - (at - in->bytes) < payload) break;
        char digits[17] = { 0 };
        memcpy(digits, at + 1, 16);
        record(&latency, time - (int64_t)strtoull(digits, NULL, 16));
        used = at + payload - in->bytes;
    }
    drop_first(in, used);
}

int main(int count, char **arguments)
{
    if (count != 5) fail("usage: redis-latency REDIS_PORT RATE SECONDS PAYLOAD");
    int port = atoi(arguments[1]), payload = atoi(arguments[4]);
    double seconds = atof(arguments[3]);
    int64_t step = 1e9 / atof(arguments[2]), begin, due;
    int publisher = connect_to(port), subscriber = connect_to(port);
    struct buffer in = { 0 }, out = { 0 }, channel = text("latency"), message = { 0 };
    char replies[4096];
    append_command(&out, 2, (struct buffer[]){ text("SUBSCRIBE"), channel });
    if (send(subscriber, out.bytes, out.length, 0) < 0 || recv(subscriber, replies, sizeof replies, 0) <= 0) {
        fail("Redis does not answer");
    }
    memset(reserve(&message, payload), 'x', payload);
    message.length = payload;
    uint64_t sent = 0;
    prctl(PR_SET_TIMERSLACK, 1);
    for (due = begin = now(); now() - begin < (seconds + 1) * 1e9;) {
        if (due - begin < seconds * 1e9 && now() >= due) {
            memcpy(message.bytes, (snprintf(replies, sizeof replies, "~%016lx", due), replies), 17);
            out.length = 0;
            append_command(&out, 3, (struct buffer[]){ text("PUBLISH"), channel, message });
            if (send(publisher, out.bytes, out.length, MSG_NOSIGNAL) < 0) fail("cannot write to Redis");
            sent++;
            due += step;
        }
        ssize_t taken = recv(subscriber, reserve(&in, 65536), 65536, MSG_DONTWAIT);
        if (taken == 0) fail("Redis has closed the connection");
        if (taken > 0) in.length += taken, take_events(&in, payload);
        if (recv(publisher, replies, sizeof replies, MSG_DONTWAIT) >= 0 || taken >= 0) continue;
        int64_t wait = due - now();
        struct pollfd both[] = { { subscriber, POLLIN, 0 }, { publisher, POLLIN, 0 } };
        ppoll(both, 2, &(struct timespec){ .tv_nsec = wait < 0 ? 0 : wait > 1000000 ? 1000000 : wait }, NULL);
    }
    printf("{\"sent\":%lu,\"missing\":%lu", sent, sent - latency.count);
    print_spread("latency", &latency);
    puts("}");
}
