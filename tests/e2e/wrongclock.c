/* A machine whose time of day is changed while it runs: what the C library tells of it is ahead by the seconds that
 * stand, as a double, in the file LD_WRONG_CLOCK. The monotonic clock is the system's own, as it is when somebody, or a
 * time server, sets the clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile double *ahead;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("LD_WRONG_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *place = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (place != MAP_FAILED) ahead = place;
}

static void shift(struct timespec *when) {
    double all = ahead ? *ahead : 0.0, whole = floor(all);
    when->tv_sec += (time_t)whole;
    when->tv_nsec += (long)((all - whole) * 1e9);
    if (when->tv_nsec >= 1000000000) when->tv_nsec -= 1000000000, when->tv_sec++;
}

int clock_gettime(clockid_t clock, struct timespec *when) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, when);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(when);
    return failed;
}

int gettimeofday(struct timeval *restrict when, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    when->tv_sec = now.tv_sec;
    when->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
