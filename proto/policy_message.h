/* SPDX-License-Identifier: MIT */
#ifndef PROTO_POLICY_MESSAGE_H
#define PROTO_POLICY_MESSAGE_H

#include "message.h"

/*
 * From the reader of the policy files (vfio-brokerd --read-policy) to vfio-brokerd only; may change with every release.
 *
 * The broker connects to vfio-policy.socket, and systemd starts the reader. The broker sends nothing. The reader sends
 * STARTED, then LINES as often as needed and DONE, or else MISTAKE, and ends.
 */
enum policy_reader_event {
	POLICY_READER_STARTED = 192, /* struct policy_started */
	POLICY_READER_LINES,	     /* whole lines of the policy, each ended by a NUL (policy/policy_canonical.h) */
	POLICY_READER_DONE,	     /* the lines are the whole policy; no payload */
	POLICY_READER_MISTAKE,	     /* struct policy_mistake */
};

struct policy_started {
	uint32_t pid;
	uint32_t zero;
};
static_assert(sizeof(struct policy_started) == 8, "wire");

/* As struct policy_error. */
struct policy_mistake {
	uint32_t line;
	uint32_t column;
	char text[512]; /* ended by a NUL */
};
static_assert(sizeof(struct policy_mistake) == 520, "wire");

#endif
