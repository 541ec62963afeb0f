/* SPDX-License-Identifier: MIT */
#ifndef BROKER_AUDIT_H
#define BROKER_AUDIT_H

#include "message.h"
#include "refusal.h"
#include "state/broker.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/*
 * What the broker decides and what becomes of it, told once and in one place. An event of these is
 *
 *	- one entry in the journal, with fields that programs can select by, and the MESSAGE_ID of its kind (audit_ids.h);
 *	  where stderr is not the journal (tests, by hand), one line there instead;
 *	- a CHANGE event for each session that watches (watch.h);
 *	- one more in the counters that STATUS reports.
 *
 * Whoever calls audit_record() does not log the same again. Nothing here ever waits for the journal.
 */

/* Start with audit_of_session(), audit_of_lease() or audit_of_group(), or with {.kind = ...}; 0 and NULL: not known, or none. */
struct audit_event {
	enum change_kind kind;
	int level;	    /* a priority of syslog.h; 0: the usual one of its kind */
	const char *device; /* its name; NULL: all of the group */
	const struct group *group;
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
struct audit_event audit_of_group(enum change_kind kind, const struct group *group);

/*
 * Records EVENT. The rest is a sentence for people that says it all; what a client sent is quoted in it (refusal_quote()).
 * Of DENIAL, BIND and UNBIND one user has AUDIT_BURST per AUDIT_INTERVAL_US recorded one by one; what goes beyond is
 * counted and recorded as one event when that time is over.
 */
void audit_record(struct broker *broker, const struct audit_event *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* JOURNAL: its socket, a constant; NULL: events go to stderr. */
void audit_init(struct audit *audit, const char *journal);
/* Records what is summed up so far. Twice is fine. */
void audit_clear(struct broker *broker);

#endif
