/* What the programs of the benchmark share: time, growing buffers, and sockets of this machine. Linux only. */
#ifndef COMMON_H
#define COMMON_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* Nanoseconds. All of one run are of one machine, so that of any two processes can be compared. */
static inline int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

struct buffer {
    uint8_t *bytes;
    size_t length, capacity;
};

static inline uint8_t *reserve(struct buffer *buffer, size_t more)
{
    if (buffer->length + more > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 256;
        while (capacity < buffer->length + more) capacity *= 2;
        buffer->bytes = realloc(buffer->bytes, capacity);
        if (!buffer->bytes) fail("no memory");
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->length;
}

static inline void append(struct buffer *buffer, const void *bytes, size_t count)
{
    memcpy(reserve(buffer, count), bytes, count);
    buffer->length += count;
}

static inline void drop_first(struct buffer *buffer, size_t count)
{
    buffer->length -= count;
    memmove(buffer->bytes, buffer->bytes + count, buffer->length);
}

static inline void release(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){ 0 };
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static inline int connect_to(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = loopback(port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        fail("cannot connect to port %d: %s", port, strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline void watch(int epoll, int operation, int fd, uint32_t events, uint64_t value)
{
    struct epoll_event event = { .events = events, .data.u64 = value };
    if (epoll_ctl(epoll, operation, fd, &event)) fail("epoll: %s", strerror(errno));
}

static inline void raise_descriptor_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* A command as Redis reads it: an array of strings. */
static inline void append_command(struct buffer *out, int count, const struct buffer *arguments)
{
    char head[32];
    append(out, head, snprintf(head, sizeof head, "*%d\r\n", count));
    for (int i = 0; i < count; i++) {
        append(out, head, snprintf(head, sizeof head, "$%zu\r\n", arguments[i].length));
        append(out, arguments[i].bytes, arguments[i].length);
        append(out, "\r\n", 2);
    }
}

static inline struct buffer text(const char *string)
{
    return (struct buffer){ (uint8_t *)string, strlen(string), 0 };
}

/* The clients of the benchmark all use the key of RFC 6455's example, so the answer to it can stand here. */
#define HANDSHAKE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HANDSHAKE_ANSWER "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#endif
