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
 * The obstacles between a session and a device, the most important first, as far as the broker knows without the
 * hardware. Looks only, changes nothing: OPEN refuses with the first one, CHECK lists them all. A session without a
 * right to the device causes no work of a helper. One thing is done: where a lease would need a keeper and no spare one
 * is there, a spare one is connected.
 */
struct admission {
	struct obstacle obstacles[OBSTACLES_MAX];
	size_t count;
	struct host_device now;		/* the device as read; not valid if there is no such device */
	const struct policy_rule *rule; /* of the policy, allows or denies the device; NULL: no rule fits */
	struct session *holder;		/* another session has the group; NULL: none */
	bool claim;			/* the device, or a sibling, has to leave a host driver */
	bool bind;			/* the device, or a sibling, has to go to vfio-pci */
	bool look;			/* a helper is to look at the device: nothing stands against that */
	bool transient;			/* the only obstacle is a release in progress: worth waiting for */
};

/* Looks at device NAME for SESSION. */
void admission_check(
	const struct broker *broker, const struct session *session, const char *name, struct admission *ret_admission);

/* Adds an obstacle, if there is room. */
void admission_add(struct admission *admission, enum refusal refusal, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds what a helper has seen of the device, in a group that was free. REPLY NULL: the helper has not come back, and
 * REFUSAL and TEXT say what an OPEN would be told. */
void admission_add_look(struct admission *admission, const struct iommu_group *group, const struct helper_reply *reply,
	enum refusal refusal, const char *text);

/* Adds what an inspector has seen of DEVICE: the device of the admission, or a sibling that would be taken as well.
 * RULE allows DEVICE. */
void admission_add_use(struct admission *admission, const struct host_device *device, const struct policy_rule *rule,
	const struct helper_reply *reply);

#endif
