/* SPDX-License-Identifier: MIT */
#ifndef PROTO_HELPER_MESSAGE_H
#define PROTO_HELPER_MESSAGE_H

#include "inspector_message.h"
#include "message.h"

/*
 * Between vfio-brokerd and vfio-helper only; may change with every release.
 *
 * A helper does what may wait for somebody else: one order at a time, one system call that waits an order. The reply
 * carries no descriptor: a helper gives the descriptor of a group to a keeper, never to the broker. A broker that has
 * shut down its sending side wants no further step.
 */

enum helper_type {
	HELPER_HELLO = COMMON_HELLO, /* hello_request, helper_hello_reply */
	HELPER_PING = COMMON_PING,
	/*
	 * struct helper_order: does the device answer, is the group's node free, does the host use the device. fds: for
	 * HELPER_LOOK_USE, a connection to vfio-inspector.socket; without a connection, use_error is ENOTCONN.
	 */
	HELPER_LOOK = 3,
	HELPER_OVERRIDE_GET = 4, /* struct helper_order; all below: helper_reply */
	HELPER_OVERRIDE_SET = 5,
	HELPER_UNBIND = 6,
	HELPER_BIND = 7,
	/*
	 * struct lease_request; fds: a copy of the keeper's channel, the keeper's end of the device channel. Opens the
	 * group's node if LEASE_GROUP, the control file of windows if there is one, and sends LEASE to the keeper.
	 */
	HELPER_LEASE = 8,
	HELPER_QUIET = 9,  /* struct helper_order, helper_reply: no bus mastering and no INTx from now on */
	HELPER_RESET = 10, /* struct helper_order, helper_reply: resets a device that nobody has */
	HELPER_PROBE = 11, /* struct helper_order, helper_reply: gives a device to the driver that wants it, if any */
	/* struct helper_order, helper_reply: resets the bus of a device whose group, `group`, nobody has. EBUSY:
	 * somebody has the group, or a device on the bus that is not with VFIO. */
	HELPER_RESET_BUS = 12,
	HELPER_TYPE_MAX,
};

struct helper_hello_reply {
	struct hello_reply hello;
	uint32_t pid;
	uint32_t uid;
};
static_assert(sizeof(struct helper_hello_reply) == sizeof(struct hello_reply) + 8, "wire");

enum helper_flags {
	HELPER_LOOK_IDS = 1 << 0,  /* read the configuration space */
	HELPER_LOOK_NODE = 1 << 1, /* open and close the group's node */
	HELPER_LOOK_USE = 1 << 2,  /* ask an inspector what the host does with the device */
};

struct helper_order {
	uint32_t flags; /* enum helper_flags; 0 but in LOOK */
	uint32_t group; /* of LOOK and RESET_BUS; or GROUP_NONE */
	char name[DEVICE_NAME_SIZE];
	char driver[DEVICE_NAME_SIZE]; /* of BIND, UNBIND, OVERRIDE_SET (empty: none); ends with a NUL */
};
static_assert(sizeof(struct helper_order) == 72, "wire");

struct helper_reply {
	uint32_t error;	     /* errno of the step, or 0; of LOOK: of the configuration space */
	uint32_t node_error; /* LOOK: errno of the group's node, or 0 */
	uint32_t ids;	     /* LOOK: the first 32 bits of the configuration space; all ones in a VF */
	/* LOOK: the next 32 bits: all ones only in a device that does not answer. QUIET: the command register as it
	 * was. */
	uint32_t command;
	char driver[DEVICE_NAME_SIZE]; /* OVERRIDE_GET: empty: none */
	uint32_t use_error;	       /* LOOK: errno of the inspection, or 0 */
	/* LOOK: what the host does with the device, in printable words; empty: nothing that can be seen. Ends with a
	 * NUL. */
	char use[USE_TEXT_SIZE];
};
static_assert(sizeof(struct helper_reply) == 48 + 4 + USE_TEXT_SIZE, "wire");

#endif
