/* SPDX-License-Identifier: MIT */
#include "lease/ending.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "base/loop.h"
#include "lease/lease.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

/* An event says: DEVICE: VERB HOLDER, then the words. */
struct ending {
	enum change_kind kind;
	const char *verb, *words, *more; /* more: written after the words */
};

#define TAKEN CHANGE_REVOKE, "taken back from"

/* By enum end_reason. A client can break the protocol any number of times: BROKEN has the kind whose number is limited
 * in the journal. */
static const struct ending endings[] = {
	[ENDED_NONE] = {CHANGE_RELEASE, "lost by", ": its keeper has ended", ""},
	[ENDED_RELEASED] = {CHANGE_RELEASE, "released by", "", ""},
	[ENDED_HANGUP] = {CHANGE_RELEASE, "released by", ", who has closed the device channel", ""},
	[ENDED_BROKEN] = {CHANGE_RELEASE, "taken back from", ", who has broken the protocol", ""},
	[ENDED_SESSION] = {CHANGE_RELEASE, "released by", ", whose session has ended", ""},
	[ENDED_ADMINISTRATOR] = {TAKEN, ": revoked by an administrator", ""},
	[ENDED_POLICY] = {TAKEN, ": the policy does not allow it any more", ""},
	[ENDED_TIME] = {TAKEN, ": its lease-time is over", ""},
	[ENDED_UNPLUG] = {TAKEN, ": the host wants it (hot-unplug, or vfio-pci was unbound)", ""},
	[ENDED_ERROR] = {TAKEN, ": it has reported an uncorrectable error", ""},
};

/* A keeper is less trusted than the broker. */
static struct ending ending_of(uint32_t reason)
{
	return endings[reason < sizeof endings / sizeof *endings ? reason : ENDED_NONE];
}

/* The end of a LEASE that was ordered back. The device may have ended the lease first, or a broken protocol. */
static struct ending ending_by_order(const struct lease *lease, enum end_reason reason, bool reported)
{
	switch (reason) {
	case ENDED_RELEASED:
	case ENDED_HANGUP:
		return (struct ending){CHANGE_REVOKE, "given back before the deadline by", ": ", lease->order};
	case ENDED_SESSION:
		if (reported && !lease->session)
			return ending_by_order(lease, ENDED_HANGUP, true);
		break;
	case ENDED_BROKEN:
	case ENDED_UNPLUG:
	case ENDED_ERROR:
		return ending_of(reason);
	case ENDED_NONE:
	case ENDED_ADMINISTRATOR:
	case ENDED_POLICY:
	case ENDED_TIME:
		break;
	}
	return (struct ending){TAKEN, ": ", lease->order};
}

/* REPORT may be NULL. */
static struct ending ending_of_lease(const struct lease *lease, const struct release_report *report)
{
	enum end_reason reason = report ? (enum end_reason)report->reason : lease->session ? ENDED_NONE : ENDED_SESSION;

	if (lease->ordered)
		return ending_by_order(lease, reason, report);
	if (reason == ENDED_SESSION && lease->broker->stopping)
		return (struct ending){TAKEN, ": the service stops", ""};
	if (reason == ENDED_SESSION && lease->session)
		return (struct ending){CHANGE_RELEASE, "released by", ", with the whole IOMMU group", ""};
	return ending_of(reason);
}

static void record(struct broker *broker, struct audit_event *event, const struct ending *ending, const char *after)
{
	char who[128];

	audit_record(broker, event, "%s: %s %s%s%s%s", event->device, ending->verb,
		peer_record_text(&event->who, who, sizeof who), ending->words, ending->more, after);
}

static void note_error(struct audit_event *event, int error, char *text, size_t size)
{
	event->level = LOG_WARNING;
	event->refusal = -error;
	snprintf(text, size, "; not cleanly: %s", strerror(error));
}

void ending_record(struct lease *lease, const struct release_report *report, int error)
{
	const struct ending ending = ending_of_lease(lease, report);
	struct audit_event event = audit_of_lease(ending.kind, lease);
	char after[128] = "";

	if (lease->told)
		return;
	if (error != 0)
		note_error(&event, error, after, sizeof after);
	else if (!report && lease->session && !lease->ordered)
		event.level = LOG_WARNING;
	else if (!report)
		snprintf(after, sizeof after, "; its keeper has ended without a report");
	record(lease->broker, &event, &ending, after);
}

void ending_record_earlier(struct broker *broker, const struct device *device, const struct released_event *event)
{
	const struct ending ending = ending_of(event->report.reason);
	struct audit_event record_of = {
		.kind = ending.kind,
		.device = device->name,
		.group = device->group,
		.who = event->origin.holder,
		.owner = event->origin.holder.uid,
		.session = event->origin.session,
		.rule = device->quarantine ? device->quarantine->rule : NULL,
		.duration_us = loop_now(broker->event) - event->origin.since,
	};
	char after[128] = "";

	if (event->error != 0)
		note_error(&record_of, (int)event->error, after, sizeof after);
	record(broker, &record_of, &ending, after);
}

void ending_record_incomplete(struct lease *lease, const char *blocker)
{
	const struct release_report *report = lease->report.steps_done ? &lease->report : NULL;
	struct ending ending = ending_of_lease(lease, report);
	struct audit_event event = audit_of_lease(ending.kind, lease);
	char after[320];

	if (lease->told || ending.kind != CHANGE_REVOKE)
		return;
	ending.verb = "not wholly taken back from";
	event.level = LOG_WARNING;
	snprintf(after, sizeof after, "; %s%s", report ? "the device is closed, but " : "", blocker);
	record(lease->broker, &event, &ending, after);
	lease_told(lease);
}
