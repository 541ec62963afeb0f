/* SPDX-License-Identifier: MIT */
#ifndef BROKER_EVENT_H
#define BROKER_EVENT_H

#include "state/broker.h"

/* One event: what is told in the journal and to watchers (audit.h, watch.h). */

/* What is known of each kind without looking at the event. */
struct audit_kind {
	const char *id; /* MESSAGE_ID, audit_ids.h */
	int level;
	bool limited; /* a client can cause any number of them */
};
extern const struct audit_kind audit_kinds[CHANGE_MAX];

/* Start with audit_of_session(), audit_of_lease() or audit_of_group(), or with {.kind = ...}; 0 and NULL: not known, or none. */
struct audit_event {
	enum change_kind kind;
	int level;	    /* a priority of syslog.h; 0: the usual one of its kind */
	const char *device; /* its name; NULL: all of the group */
	const struct iommu_group *group;
	struct holder_record who; /* who asked, or has or had the device; pid 0: nobody */
	uint64_t session;
	const char *rule;     /* of the policy, that decided */
	int refusal;	      /* or a negative errno */
	uint64_t duration_us; /* GRANT: since OPEN; RELEASE: of the lease; BIND, REVOKE: of itself */
	uint64_t count;	      /* events that this one stands for; 0 is 1 */
};

/* Its priority, a level of syslog.h. */
int audit_level(const struct audit_event *event);

struct audit_event audit_of_session(enum change_kind kind, const struct session *session);
/* Who and since when: its holder, session, rule, and the age of the lease as duration. */
struct audit_event audit_of_lease(enum change_kind kind, const struct lease *lease);
/* Who: its holder. */
struct audit_event audit_of_group(enum change_kind kind, const struct iommu_group *group);

/* The event as the wire has it, with MESSAGE, which says it to people. */
void audit_event_change(const struct audit_event *event, const char *message, struct change_event *ret_change);

#endif
