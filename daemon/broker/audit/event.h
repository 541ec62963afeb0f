/* SPDX-License-Identifier: MIT */
#ifndef BROKER_EVENT_H
#define BROKER_EVENT_H

#include "state/broker.h"

/* An event, as told in the journal and to watchers (audit.h, watch.h). */

/* The facts common to all events of a kind. */
struct audit_kind {
	const char *id; /* MESSAGE_ID, audit_ids.h */
	int level;
	unsigned int burst; /* recorded one by one for each user: a client can cause any number. 0: all are recorded */
	bool followed;	    /* watchers get those as well that are only counted in the journal */
};
extern const struct audit_kind audit_kinds[CHANGE_MAX];

/* Start with audit_of_session(), audit_of_lease() or audit_of_group(), or with {.kind = ...}; 0 and NULL: not known, or
 * none. */
struct audit_event {
	enum change_kind kind;
	int level;	    /* a priority of syslog.h; 0: the usual priority of the kind */
	const char *device; /* name; NULL: all devices of the group */
	const struct iommu_group *group;
	struct holder_record who; /* the client that asked, or has or had the device; pid 0: nobody */
	uid_t owner;		  /* whose uid that is: as whose the event is counted */
	uint64_t session;
	const char *rule;     /* the deciding rule of the policy */
	int refusal;	      /* or a negative errno */
	uint64_t duration_us; /* GRANT: since OPEN; RELEASE: of the lease; BIND, REVOKE: of the act itself */
	uint64_t count;	      /* number of events summed up in this one; 0 means 1 */
};

/* The priority of EVENT, a level of syslog.h. */
int audit_level(const struct audit_event *event);

struct audit_event audit_of_session(enum change_kind kind, const struct session *session);
/* Fills in the holder, session and rule of LEASE, and the age of the lease as duration. */
struct audit_event audit_of_lease(enum change_kind kind, const struct lease *lease);
/* Fills in the holder of GROUP. */
struct audit_event audit_of_group(enum change_kind kind, const struct iommu_group *group);

/* The event as sent to watchers. MESSAGE is the sentence for people. */
void audit_event_change(const struct audit_event *event, const char *message, struct change_event *ret_change);

#endif
