/* A histogram of times: 64 steps for each power of two, so that a value is known to 1.6 %. */
#ifndef SPREAD_H
#define SPREAD_H
#include "common.h"

struct spread {
    uint64_t count, greatest, steps[64 * 60];
};

static inline void record(struct spread *spread, int64_t nanoseconds)
{
    uint64_t value = nanoseconds < 0 ? 0 : nanoseconds;
    int power = value < 64 ? 5 : 63 - __builtin_clzll(value);
    spread->steps[(power - 5) * 64 + (value < 64 ? value : (value >> (power - 6)) & 63)]++;
    spread->count++;
    if (value > spread->greatest) spread->greatest = value;
}

/* In microseconds. */
static inline double quantile(const struct spread *spread, double part)
{
    uint64_t wanted = part * spread->count + 0.5, seen = 0;
    for (int i = 0; i < 64 * 60 && spread->count; i++) {
        seen += spread->steps[i];
        if (!spread->steps[i] || seen < wanted) continue;
        int power = i / 64 + 5;
        double value = i < 64 ? i : (double)(1ull << power) + (double)(i & 63) * (1ull << (power - 6));
        return (value < spread->greatest ? value : spread->greatest) / 1000;
    }
    return 0;
}

static inline void print_spread(const char *name, const struct spread *spread)
{
    printf(",\"%s\":{\"count\":%lu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
           spread->count, quantile(spread, 0.5), quantile(spread, 0.9), quantile(spread, 0.99), quantile(spread, 0.999),
           spread->greatest / 1000.0);
}

#endif
