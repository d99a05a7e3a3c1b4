/* What the load generator is told on its command line. */
#ifndef OPTIONS_H
#define OPTIONS_H
#include "common.h"
#include "usage.h"

#include <getopt.h>

/* A marker has so many bytes; a text that is sent at most so many, before the marker and its padding. */
enum { TARGETS = 4, WATCHED = 4, MARKER = 36, TEXT_LIMIT = 4096 };

static struct {
    int targets[TARGETS], target_count;
    const char *path, *join, *publish, *ready;
    int rooms, members, publishers, rooms_each, payload, window;
    double rate, settle, warmup, duration, idle, timeout;
} options = {
    .path = "/", .rooms = 1, .members = 1, .publishers = 1, .rooms_each = 1, .payload = 128, .settle = 0.3, .warmup = 1,
    .duration = 3, .timeout = 90,
};

/* Processes whose use of the machine is told, as of several moments. */
static struct watched {
    char name[32];
    int pid;
    struct usage at_start, open, joined, after_idle, begin, end;
} watched[WATCHED];
static int watched_count;

static void usage(void)
{
    fail("usage: load --target PORT… [--watch NAME=PID…] --path T [--join T --ready TEXT] [--publish T]\n"
         "  --rooms N --members N --publishers N   the first so many members of each room publish\n"
         "  --rooms-each N    instead, each client has so many rooms of its own\n"
         "  --window N        each publisher has so many messages under way, as far as they have come back to it\n"
         "  --rate N          so many messages a second in all; latency counts from when each was due\n"
         "  --idle S          publish nothing\n"
         "  --payload BYTES --warmup S --duration S --settle S --timeout S\n"
         "Templates (T) hold {user}, {room}, and in --publish {marker} and {pad}, which fill the payload.");
}

static void read_options(int count, char **arguments)
{
    static const struct option names[] = {
        { "target", 1, 0, 't' }, { "watch", 1, 0, 'w' }, { "path", 1, 0, 'p' }, { "join", 1, 0, 'j' },
        { "ready", 1, 0, 'y' }, { "publish", 1, 0, 'u' }, { "rooms", 1, 0, 'R' }, { "members", 1, 0, 'M' },
        { "publishers", 1, 0, 'P' }, { "rooms-each", 1, 0, 'E' }, { "window", 1, 0, 'W' }, { "rate", 1, 0, 'r' },
        { "idle", 1, 0, 'i' }, { "payload", 1, 0, 'l' }, { "warmup", 1, 0, 'a' }, { "duration", 1, 0, 'd' },
        { "settle", 1, 0, 's' }, { "timeout", 1, 0, 'o' }, { 0, 0, 0, 0 },
    };
    for (int name; (name = getopt_long(count, arguments, "", names, NULL)) != -1;) {
        switch (name) {
        case 't':
            if (options.target_count == TARGETS) fail("too many targets");
            options.targets[options.target_count++] = atoi(optarg);
            break;
        case 'w':
            if (watched_count == WATCHED) fail("too many processes to watch");
            if (sscanf(optarg, "%31[^=]=%d", watched[watched_count].name, &watched[watched_count].pid) != 2) usage();
            watched_count++;
            break;
        case 'p': options.path = optarg; break;
        case 'j': options.join = optarg; break;
        case 'y': options.ready = optarg; break;
        case 'u': options.publish = optarg; break;
        case 'R': options.rooms = atoi(optarg); break;
        case 'M': options.members = atoi(optarg); break;
        case 'P': options.publishers = atoi(optarg); break;
        case 'E': options.rooms_each = atoi(optarg); break;
        case 'W': options.window = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'i': options.idle = atof(optarg); break;
        case 'l': options.payload = atoi(optarg); break;
        case 'a': options.warmup = atof(optarg); break;
        case 'd': options.duration = atof(optarg); break;
        case 's': options.settle = atof(optarg); break;
        case 'o': options.timeout = atof(optarg); break;
        default: usage();
        }
    }
    int modes = (options.window > 0) + (options.rate > 0) + (options.idle > 0);
    if (optind < count || !options.target_count || modes != 1 || options.payload < MARKER ||
        options.payload > TEXT_LIMIT || options.rooms < 1 || options.members < 1 || options.publishers < 1 || options.publishers > options.members ||
        (!options.idle && !options.publish)) {
        usage();
    }
}

#endif
