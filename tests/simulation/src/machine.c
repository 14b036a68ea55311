/* The machine of a simulated process: its clock moves only when it waits, and its chance comes from the seed.
 *
 * The product asks the C library for the time, for random bytes and to wait; here are those three calls. Where the environment
 * names no seed they are the kernel's, so the process that starts the simulations is like any other.
 *
 * Must stay true: in a simulated process nothing but the seed decides what these calls answer. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Monday, 5 January 2026, 09:00 in Viet Nam. */
static const int64_t MORNING_NS = INT64_C(1767578400000000000);
static const int64_t SECOND_NS = INT64_C(1000000000);

static int known = 0, simulated = 0;
static uint64_t chance = 0;
static int64_t passed_ns = 1000000000;

static int is_simulated(void) {
    if (!known) {
        const char *seed = getenv("LOA_SIMULATION_SEED");
        simulated = seed != NULL;
        chance = seed ? strtoull(seed, NULL, 10) : 0;
        known = 1;
    }
    return simulated;
}

/* SplitMix64, as in loa-testkit. */
static uint64_t throw_dice(void) {
    uint64_t bits = chance += UINT64_C(0x9e3779b97f4a7c15);
    bits = (bits ^ (bits >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ (bits >> 27)) * UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    if (!is_simulated())
        return syscall(SYS_getrandom, buffer, length, flags);
    for (size_t at = 0; at < length; at++)
        ((unsigned char *)buffer)[at] = (unsigned char)throw_dice();
    return (ssize_t)length;
}

int clock_gettime(clockid_t clock, struct timespec *answer) {
    if (!is_simulated())
        return (int)syscall(SYS_clock_gettime, clock, answer);
    int64_t now_ns = clock == CLOCK_REALTIME ? MORNING_NS + passed_ns : passed_ns;
    answer->tv_sec = now_ns / SECOND_NS;
    answer->tv_nsec = now_ns % SECOND_NS;
    return 0;
}

/* Nobody but this one thread could wake it, so waiting is over at once, and the time is then as late as was asked for. */
int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms) {
    if (!is_simulated())
        return (int)syscall(SYS_epoll_pwait, epoll, events, max, timeout_ms, NULL, 0);
    if (timeout_ms < 0) {
        fputs("every task waits, and for nothing that could happen\n", stderr);
        exit(3);
    }
    passed_ns += (int64_t)timeout_ms * 1000000;
    return 0;
}
