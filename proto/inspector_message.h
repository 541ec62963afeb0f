/* SPDX-License-Identifier: MIT */
#ifndef PROTO_INSPECTOR_MESSAGE_H
#define PROTO_INSPECTOR_MESSAGE_H

#include "message.h"

/*
 * Between vfio-helper and vfio-inspector only; may change with every release.
 *
 * The broker connects to vfio-inspector.socket, systemd starts the inspector, and the broker passes the connection to a
 * helper (HELPER_LOOK). The helper asks once, the inspector answers once, and ends.
 */
enum inspector_type {
	INSPECTOR_LOOK = 192, /* struct inspector_request, struct inspector_reply */
};

struct inspector_request {
	char name[DEVICE_NAME_SIZE];
};
static_assert(sizeof(struct inspector_request) == 32, "wire");

/* Room for what the host does with a device, NUL included. */
#define USE_TEXT_SIZE 132

struct inspector_reply {
	uint32_t error; /* errno: nobody knows what the host does; or 0 */
	/* Printable words, "mounted on /srv by /dev/nvme0n1p1"; empty: nothing that can be seen. Ends with a NUL. */
	char use[USE_TEXT_SIZE];
};
static_assert(sizeof(struct inspector_reply) == 136, "wire");

#endif
