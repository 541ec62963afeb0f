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
 * What stands between a session and a device, most important first. Looks only, changes nothing: OPEN refuses
 * with the first one, CHECK lists them all.
 */
struct admission {
	struct obstacle obstacles[OBSTACLES_MAX];
	size_t count;
	struct host_device now;		/* the device as it was read; valid unless it is not there */
	int group_fd;			/* owned: the group's node; negative: it is not open, or could not be opened */
	const struct policy_rule *rule; /* of the policy, that allows or denies it; NULL: none fits */
	bool claim;			/* the device has to be taken from its host driver, or given one */
	bool unresponsive;		/* its configuration space reads all ones */
	bool transient; /* the only obstacle is that the device is just being released: worth waiting for */
};

/* Clear RET_ADMISSION afterwards. */
void admission_check(
	const struct broker *broker, const struct session *session, const char *name, struct admission *ret_admission);
void admission_clear(struct admission *admission);

#endif
