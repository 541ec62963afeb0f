/* SPDX-License-Identifier: MIT */
#ifndef BROKER_ADMISSION_H
#define BROKER_ADMISSION_H

#include "message.h"
#include "refusal.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stddef.h>

struct obstacle {
	int refusal;
	struct detail detail;
};

/* Every kind of obstacle comes up once at most, siblings up to a few. */
#define OBSTACLES_MAX 12

/*
 * The obstacles between a session and a device, the most important first. Looks only, changes nothing: OPEN refuses
 * with the first one, CHECK lists them all.
 */
struct admission {
	struct obstacle obstacles[OBSTACLES_MAX];
	size_t count;
	struct host_device now;		/* the device as read; not valid if there is no such device */
	int group_fd;			/* owned: the group's node; negative: not open, or impossible to open */
	const struct policy_rule *rule; /* of the policy, allows or denies the device; NULL: no rule fits */
	struct session *holder;		/* another session has the group; NULL: none */
	bool claim;			/* the device has to go from a host driver, or from no driver, to vfio-pci */
	bool unresponsive;		/* the device's configuration space reads all ones */
	bool transient;			/* the only obstacle is a release in progress: worth waiting for */
};

/* Looks at device NAME for SESSION. The caller clears RET_ADMISSION afterwards with admission_clear(). */
void admission_check(
	const struct broker *broker, const struct session *session, const char *name, struct admission *ret_admission);
void admission_clear(struct admission *admission);

#endif
