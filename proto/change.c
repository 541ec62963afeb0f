/* SPDX-License-Identifier: MIT */
#include "change.h"

#include "message.h"

static const char *const names[CHANGE_MAX] = {
	[CHANGE_GRANT] = "grant",
	[CHANGE_BIND] = "bind",
	[CHANGE_UNBIND] = "unbind",
	[CHANGE_DENIAL] = "denial",
	[CHANGE_RELEASE] = "release",
	[CHANGE_REVOKE_PENDING] = "revoke-pending",
	[CHANGE_REVOKE] = "revoke",
	[CHANGE_QUARANTINE] = "quarantine",
	[CHANGE_QUARANTINE_END] = "quarantine-end",
	[CHANGE_QUARANTINE_FORCE] = "quarantine-force",
	[CHANGE_POLICY] = "policy",
	[CHANGE_ADD] = "add",
	[CHANGE_REMOVE] = "remove",
	[CHANGE_FAULT] = "fault",
	[CHANGE_LOST] = "lost",
	[CHANGE_FRONT_LOST] = "front-lost",
};

const char *change_name(int kind)
{
	return kind > 0 && kind < CHANGE_MAX && names[kind] ? names[kind] : "unknown";
}
