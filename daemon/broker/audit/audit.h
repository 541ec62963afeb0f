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
 * The broker's decisions and their outcomes, told once and in one place. An event is
 *
 *	- one entry in the journal, with fields that programs can select by, and the MESSAGE_ID of the event's kind
 *	  (audit_ids.h); where stderr is not the journal (tests, by hand), one line on stderr instead;
 *	- a CHANGE event for each session that watches (watch.h);
 *	- one more in the counters that STATUS reports.
 *
 * A caller of audit_record() does not log the same again. Nothing here ever waits for the journal.
 */

/*
 * Records EVENT. FORMAT is a complete sentence for people; strings sent by a client are quoted there (refusal_quote()).
 * Of DENIAL, BIND and UNBIND one user has AUDIT_BURST per AUDIT_INTERVAL_US recorded one by one. Events beyond are
 * counted, and recorded as a single event when the time is over.
 */
void audit_record(struct broker *broker, const struct audit_event *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* JOURNAL: the path of the journal's socket, a constant; NULL: events go to stderr. */
void audit_init(struct audit *audit, const char *journal);
/* Records the sums so far. Twice is fine. */
void audit_clear(struct broker *broker);

#endif
