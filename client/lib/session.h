/* SPDX-License-Identifier: MIT */
#ifndef LIB_SESSION_H
#define LIB_SESSION_H

#include "requester.h"
#include "vfio-broker.h"

struct vbroker_session {
	struct requester channel;
	struct watch *watch; /* owned, ended by free(); NULL: the session does not watch */
};

/* Puts NAME into a request. The broker judges the form; here the name only has to fit. */
int session_put_name(char field[DEVICE_NAME_SIZE], const char *name);

/* OPEN. *RET_CHANNEL is the device channel, owned by the caller. */
int session_lease(struct vbroker_session *session, const char *name, int *ret_channel);

#endif
