/* SPDX-License-Identifier: MIT */
#include "timeout.h"

#include "vfio-broker.h"

#include <limits.h>
#include <stdbool.h>
#include <time.h>

/* The other end may be no server of ours. A server answers HELLO as soon as its loop comes round. */
#define GREETING_MS 10000

/* Register accesses take microseconds, a register program a second at most. The rest is for a keeper that gets no
 * processor, or is busy with another device of the group. The kernel's storage drivers wait as long for a command. */
#define SHORT_MS 30000

/* A device has a minute to come out of a reset (PCIE_RESET_READY_POLL_MS of the kernel), and BIND and RELEASE reset,
 * too. The broker waits for drivers, for processes that start and, at boot, for the first policy, each with a limit of
 * its own. The owner of a domain pins gigabytes. */
#define LONG_MS 120000

/* As set by the thread; 0: by the kind of the request. */
static _Thread_local int chosen_ms;

void vbroker_set_timeout(int timeout_ms)
{
	chosen_ms = timeout_ms < 0 ? -1 : timeout_ms;
}

uint64_t timeout_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t timeout_after_ms(int64_t timeout_ms)
{
	return timeout_ms < 0 ? TIMEOUT_NEVER : timeout_now_us() + (uint64_t)timeout_ms * 1000;
}

static bool may_take_long(enum channel_kind kind, uint16_t type)
{
	if (kind != CHANNEL_DEVICE)
		return true;
	return type == DEVICE_BIND || type == DEVICE_UNBIND || type == DEVICE_RESET || type == DEVICE_RELEASE;
}

int timeout_of_request(enum channel_kind kind, uint16_t type)
{
	if (chosen_ms != 0)
		return chosen_ms;
	if (type == COMMON_HELLO && kind != CHANNEL_BROKER)
		return GREETING_MS;
	return may_take_long(kind, type) ? LONG_MS : SHORT_MS;
}

int timeout_left_ms(uint64_t due_us)
{
	uint64_t now = timeout_now_us(), left_ms;

	if (due_us == TIMEOUT_NEVER)
		return -1;
	if (due_us <= now)
		return 0;
	left_ms = (due_us - now + 999) / 1000;
	return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
