/* SPDX-License-Identifier: MIT */
#include "audit/audit.h"

#include "audit/watch.h"
#include "base/limits.h"
#include "base/loop.h"
#include "change.h"
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- where they go ---- */

/* An event of a whole group concerns each device of the group: a field can be there several times. */
static void add_devices(struct journal_entry *entry, const struct audit_event *event)
{
	const struct device *device;

	if (event->device) {
		journal_add(entry, "VFIO_BROKER_DEVICE", "%s", event->device);
		return;
	}
	if (!event->group)
		return;
	LIST_FOREACH(device, &event->group->devices, in_group)
		journal_add(entry, "VFIO_BROKER_DEVICE", "%s", device->name);
}

static void add_fields(struct journal_entry *entry, const struct audit_event *event, const char *message)
{
	const struct audit_kind *kind = &audit_kinds[event->kind];

	journal_add(entry, "MESSAGE", "%s", message);
	journal_add(entry, "MESSAGE_ID", "%s", kind->id);
	journal_add(entry, "PRIORITY", "%d", audit_level(event));
	journal_add(entry, "SYSLOG_IDENTIFIER", "vfio-brokerd");
	journal_add(entry, "VFIO_BROKER_EVENT", "%s", change_name((int)event->kind));
	add_devices(entry, event);
	if (event->group)
		journal_add(entry, "VFIO_BROKER_GROUP", "%" PRIu32, event->group->number);
	/* Peers in another pid namespace have pid 0, and a uid nevertheless. */
	if (event->who.pid || event->session || event->kind == CHANGE_DENIAL)
		journal_add(entry, "VFIO_BROKER_UID", "%" PRIu32, event->who.uid);
	if (event->who.pid)
		journal_add(entry, "VFIO_BROKER_PID", "%" PRIu32, event->who.pid);
	if (event->who.unit[0])
		journal_add(entry, "VFIO_BROKER_UNIT", "%.*s", (int)sizeof event->who.unit, event->who.unit);
	if (event->session)
		journal_add(entry, "VFIO_BROKER_SESSION", "%" PRIu64, event->session);
	if (event->rule && event->rule[0])
		journal_add(entry, "VFIO_BROKER_RULE", "%s", event->rule);
	if (event->refusal)
		journal_add(entry, "VFIO_BROKER_REFUSAL", "%s",
			refusal_name(event->refusal < 0 ? REFUSAL_FAILED : event->refusal));
	if (event->refusal < 0)
		journal_add(entry, "ERRNO", "%d", -event->refusal);
	if (event->duration_us)
		journal_add(entry, "VFIO_BROKER_DURATION_USEC", "%" PRIu64, event->duration_us);
	if (event->count > 1)
		journal_add(entry, "VFIO_BROKER_COUNT", "%" PRIu64, event->count);
}

static int send_entry(struct audit *audit, const struct audit_event *event, const char *message)
{
	struct journal_entry entry = {0};

	add_fields(&entry, event, message);
	return journal_send(&audit->journal, &entry);
}

/* Records the number of lost entries. Called before the next entry, so that the journal shows the gap in its place. */
static void tell_lost(struct audit *audit)
{
	struct audit_event event = {.kind = CHANGE_LOST, .count = audit->lost_untold};
	char message[96];

	if (audit->lost_untold == 0)
		return;
	snprintf(message, sizeof message, "%" PRIu64 " entries are missing here: the journal did not take them",
		audit->lost_untold);
	if (send_entry(audit, &event, message) == 0)
		audit->lost_untold = 0;
}

static void tell_journal(struct broker *broker, const struct audit_event *event, const char *message)
{
	struct audit *audit = &broker->audit;

	if (!audit->journal.path) {
		log_line(audit_level(event), "%s", message);
		return;
	}
	tell_lost(audit);
	if (send_entry(audit, event, message) == 0)
		return;
	audit->lost++;
	audit->lost_untold++;
}

/* ---- limits ---- */

/* The events of one user and one kind: how many were recorded since began_us, how many were only counted, and the last
 * one that was only counted. */
struct audit_limit {
	TAILQ_ENTRY(audit_limit) in_audit;
	uid_t uid;
	uint64_t began_us;
	unsigned int recorded;
	uint64_t summed_up;
	struct audit_event last; /* pointers are NULL */
};

/* Stands for all users beyond AUDIT_LIMITS_MAX. No user has this uid: to the kernel it means no user. */
#define UID_OTHERS UINT32_MAX

static struct audit_limit *limit_find(const struct audit *audit, enum change_kind kind, uid_t uid)
{
	struct audit_limit *limit;

	TAILQ_FOREACH(limit, &audit->limits, in_audit)
	{
		if (limit->uid == uid && limit->last.kind == kind)
			return limit;
	}
	return NULL;
}

static void limit_free(struct audit *audit, struct audit_limit *limit)
{
	TAILQ_REMOVE(&audit->limits, limit, in_audit);
	audit->limits_count--;
	free(limit);
}

static void sum_up(struct broker *broker, struct audit_limit *limit)
{
	static const char *const words[CHANGE_MAX] = {[CHANGE_GRANT] = "leases",
		[CHANGE_RELEASE] = "ends of leases",
		[CHANGE_BIND] = "devices bound",
		[CHANGE_UNBIND] = "devices unbound",
		[CHANGE_DENIAL] = "refusals"};
	uint64_t seconds = (loop_now(broker->event) - limit->began_us + 500000) / 1000000;
	char message[160], who[32] = "other users";

	if (limit->uid != UID_OTHERS)
		snprintf(who, sizeof who, "uid %" PRIu32, limit->uid);
	snprintf(message, sizeof message, "%s: and %" PRIu64 " more %s in %" PRIu64 " s", who, limit->summed_up,
		words[limit->last.kind], seconds > 0 ? seconds : 1);
	limit->last.count = limit->summed_up;
	tell_journal(broker, &limit->last, message);
	if (!audit_kinds[limit->last.kind].followed)
		watch_publish(broker, &limit->last, message);
	limit->summed_up = 0;
}

static int on_interval(sd_event_source *source, uint64_t now, void *userdata);

static void rearm(struct broker *broker)
{
	const struct audit *audit = &broker->audit;
	const struct audit_limit *first = TAILQ_FIRST(&audit->limits);
	uint64_t end, now = loop_now(broker->event);

	if (!first || broker->stopping)
		return;
	end = first->began_us + audit->interval_us;
	if (loop_timer(broker->event, &broker->audit.timer, end > now ? end - now : 0, on_interval, broker) < 0)
		log_line(LOG_ERR, "out of memory: counted events are recorded when the service ends");
}

/* A user that goes on gets the next interval without single records; a user that has stopped is forgotten. */
static int on_interval(sd_event_source *source, uint64_t now, void *userdata)
{
	struct broker *broker = userdata;
	struct audit *audit = &broker->audit;
	struct audit_limit *limit;

	(void)source;
	while ((limit = TAILQ_FIRST(&audit->limits)) && limit->began_us + audit->interval_us <= now) {
		if (limit->summed_up == 0) {
			limit_free(audit, limit);
			continue;
		}
		sum_up(broker, limit);
		limit->began_us = now;
		TAILQ_REMOVE(&audit->limits, limit, in_audit);
		TAILQ_INSERT_TAIL(&audit->limits, limit, in_audit);
	}
	rearm(broker);
	return 0;
}

static struct audit_limit *limit_get(struct broker *broker, enum change_kind kind, uid_t uid)
{
	struct audit *audit = &broker->audit;
	struct audit_limit *limit = limit_find(audit, kind, uid);

	if (limit)
		return limit;
	if (audit->limits_count >= AUDIT_LIMITS_MAX && uid != UID_OTHERS)
		return limit_get(broker, kind, UID_OTHERS);
	limit = calloc(1, sizeof *limit);
	if (!limit)
		return NULL;
	limit->uid = uid;
	limit->last.kind = kind;
	limit->began_us = loop_now(broker->event);
	TAILQ_INSERT_TAIL(&audit->limits, limit, in_audit);
	audit->limits_count++;
	if (TAILQ_FIRST(&audit->limits) == limit)
		rearm(broker);
	return limit;
}

/* Whether EVENT is recorded by itself; otherwise EVENT is counted. */
static bool admitted(struct broker *broker, const struct audit_event *event)
{
	struct audit_limit *limit;

	/* What is worse than its kind is in the journal, however much else there is. */
	if (audit_kinds[event->kind].burst == 0 || event->level != 0)
		return true;
	limit = limit_get(broker, event->kind, event->owner);
	if (!limit || limit->recorded < audit_kinds[event->kind].burst) {
		if (limit)
			limit->recorded++;
		return true;
	}
	limit->last = *event;
	limit->last.device = limit->last.rule = NULL;
	limit->last.group = NULL;
	limit->last.duration_us = 0;
	limit->summed_up++;
	broker->audit.suppressed++;
	return false;
}

/* ---- the whole ---- */

void audit_record(struct broker *broker, const struct audit_event *event, const char *format, ...)
{
	struct audit *audit = &broker->audit;
	char message[512];
	va_list arguments;
	bool is_recorded;

	audit->counts[event->kind]++;
	if (event->kind == CHANGE_DENIAL)
		audit->denials[event->refusal > 0 && event->refusal < REFUSAL_MAX ? event->refusal : REFUSAL_FAILED]++;
	is_recorded = admitted(broker, event);
	if (!is_recorded && !audit_kinds[event->kind].followed)
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	watch_publish(broker, event, message);
	if (is_recorded)
		tell_journal(broker, event, message);
}

void audit_init(struct audit *audit, const char *journal)
{
	*audit = (struct audit){0};
	TAILQ_INIT(&audit->limits);
	audit->interval_us = AUDIT_INTERVAL_US;
	journal_open(&audit->journal, journal);
}

void audit_clear(struct broker *broker)
{
	struct audit *audit = &broker->audit;
	struct audit_limit *limit;

	while ((limit = TAILQ_FIRST(&audit->limits))) {
		if (limit->summed_up > 0)
			sum_up(broker, limit);
		limit_free(audit, limit);
	}
	audit->timer = sd_event_source_disable_unref(audit->timer);
	journal_close(&audit->journal);
}
