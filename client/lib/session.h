/* SPDX-License-Identifier: MIT */
#ifndef LIB_SESSION_H
#define LIB_SESSION_H

#include "requester.h"
#include "vfio-broker.h"

struct vbroker_session {
	struct requester channel;
	struct watch *watch; /* owned; NULL: it does not watch */
};

/* OPEN. *RET_CHANNEL is the device channel, owned by the caller. */
int session_lease(struct vbroker_session *session, const char *name, int *ret_channel);

void holder_read(struct vbroker_holder *holder, const struct holder_record *record);

/* The events of a session that watches, and came when a reply was waited for. NULL is fine. */
void watch_free(struct watch *watch);

#endif
