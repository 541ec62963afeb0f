/* SPDX-License-Identifier: MIT */
#include "virtual_clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define START_NS  UINT64_C(1000000000000)
#define SECOND_NS UINT64_C(1000000000)

static uint64_t now_ns = START_NS;

/* sd-event has one for each clock, and only one clock is used. */
static struct {
	int fd;
	uint64_t due_ns; /* 0: off */
} timer;

static long set_timer(bool fire)
{
	const struct itimerspec soon = {.it_value.tv_nsec = fire ? 1 : 0};

	return syscall(SYS_timerfd_settime, timer.fd, 0, &soon, NULL);
}

void virtual_clock_reset(void)
{
	now_ns = START_NS;
	timer.due_ns = 0;
}

void virtual_clock_pass(uint64_t microseconds)
{
	now_ns += microseconds * 1000;
	if (timer.due_ns && timer.due_ns <= now_ns)
		set_timer(true);
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	if (clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, ret_time);
	now_ns += 1000;
	*ret_time = (struct timespec){(time_t)(now_ns / SECOND_NS), (long)(now_ns % SECOND_NS)};
	return 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
	(void)clock;
	(void)flags;
	(void)left;
	now_ns += (uint64_t)time->tv_sec * SECOND_NS + (uint64_t)time->tv_nsec;
	return 0;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	(void)flags;
	(void)old;
	timer.fd = fd;
	timer.due_ns = (uint64_t) new->it_value.tv_sec *SECOND_NS + (uint64_t) new->it_value.tv_nsec;
	return (int)set_timer(timer.due_ns && timer.due_ns <= now_ns);
}
