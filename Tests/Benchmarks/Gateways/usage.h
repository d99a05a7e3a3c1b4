/* What other processes have used: processor time of all threads, and resident memory. */
#ifndef USAGE_H
#define USAGE_H
#include "common.h"

struct usage {
    double seconds;
    long bytes;
};

static inline struct usage usage_of(int pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time)) fail("process %d has ended", pid);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "r");
    long size = 0, resident = 0;
    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2) fail("cannot read %s", path);
    fclose(file);
    return (struct usage){ time.tv_sec + time.tv_nsec / 1e9, resident * sysconf(_SC_PAGESIZE) };
}

#endif
