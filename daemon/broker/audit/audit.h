/* SPDX-License-Identifier: MIT */
#ifndef BROKER_AUDIT_H
#define BROKER_AUDIT_H

#include "audit/event.h"
#include "message.h"
#include "refusal.h"

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
