/* SPDX-License-Identifier: MIT */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "harness.h"
#include "message.h"
#include "unit.h"
#include "vfio-broker.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* For tests of what hostile clients cost everybody else. */

#define OFFENDER  1000
#define BYSTANDER 1001

#if defined(__SANITIZE_ADDRESS__)
/* Freed memory is kept for a while. */
#define MEMORY_SLACK_KB (300 * 1024LL)
#else
#define MEMORY_SLACK_KB (4 * 1024LL)
#endif

static struct bystander {
	struct vbroker_session *session;
	struct vbroker_device *device;
	uint64_t served;
} bystander;

static long long memory_at_start;

/* The size in memory of a process, in KiB. */
static inline long long memory_of(pid_t pid)
{
	char path[64], line[256];
	long long value = -1;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			value = strtoll(line + 6, NULL, 10);
	}
	if (file)
		fclose(file);
	assert_true(value > 0);
	return value;
}

/* What the kernel says of who connects is what they were then. */
static inline void become(uid_t uid)
{
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(seteuid(uid), 0);
}

static inline void begin(void)
{
	assert_int_equal(chmod(world()->directory, 0711), 0);
	become(BYSTANDER);
	bystander.session = session_begin();
	become(0);
	bystander.device = device_begin(bystander.session, EDU_2);
	bystander.served = 0;
	memory_at_start = memory_of(world()->broker);
}

/* The other user is served: session and device channel answer, and it gets and gives back another device. */
static inline void serve_bystander(void)
{
	struct vbroker_device *device;
	int r;

	expect_ok(vbroker_session_ping(bystander.session));
	expect_ok(vbroker_device_ping(bystander.device));
	/* The keeper in reserve may be on its way still; that is no refusal, but takes longer. */
	r = vbroker_device_open(bystander.session, NVME, &device);
	expect_ok(r);
	vbroker_device_close(device);
	bystander.served++;
}

static inline void end(void)
{
	serve_bystander();
	print_message("# the bystander was served %llu times; the broker's memory: %lld KiB, then %lld KiB\n",
		(unsigned long long)bystander.served, memory_at_start, memory_of(world()->broker));
	assert_true(memory_of(world()->broker) < memory_at_start + MEMORY_SLACK_KB);
	vbroker_device_close(bystander.device);
	vbroker_session_close(bystander.session);
	world_settle();
}

/* ---- requests ---- */

struct request {
	struct message_header header;
	uint8_t payload[512];
};

static const struct hello_request hello = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION};

#endif
