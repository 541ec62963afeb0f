/* SPDX-License-Identifier: MIT */
#ifndef LIB_SESSION_H
#define LIB_SESSION_H

#include "requester.h"
#include "vfio-broker.h"

struct vbroker_session {
	struct requester channel;
	struct watch *watch; /* owned, ended by free(); NULL: the session does not watch */
};

/* OPEN. *RET_CHANNEL is the device channel, owned by the caller. */
int session_lease(struct vbroker_session *session, const char *name, int *ret_channel);

#endif
