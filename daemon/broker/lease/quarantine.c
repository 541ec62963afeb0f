/* SPDX-License-Identifier: MIT */
#include "lease/quarantine.h"

#include "audit/audit.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/record.h"
#include "lease/group.h"
#include "log.h"
#include "state/inventory.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the record: a line of numbers, a line with the unit of the holder, a line with the rule; if it was lent, three more may
 * follow, of what stood against it before ---- */

#define NUMBERS_SIZE 160

static int print(char *text, size_t size, const struct quarantine *q)
{
	return snprintf(text, size, "%d %d %" PRIu64 " %" PRIu32 " %" PRIu32 " %d %" PRIu64 " %d\n%.*s\n%.*s\n",
		(int)q->reason, q->error, q->since_us, q->holder.uid, q->holder.pid, (int)q->reset.need,
		q->reset.settle_us, q->direct, (int)sizeof q->holder.unit, q->holder.unit, (int)sizeof q->rule - 1,
		q->rule);
}

/* BEFORE: NULL, or what stood against the device before it was lent. */
static void save(const struct broker *broker, const struct device *device, const struct quarantine *q,
	const struct quarantine *before)
{
	char text[RECORD_SIZE_MAX];
	int r = print(text, sizeof text, q);

	static_assert(sizeof text > 2 * (sizeof q->holder.unit + sizeof q->rule + NUMBERS_SIZE), "two do not fit");
	if (before)
		print(text + r, sizeof text - (size_t)r, before);
	r = record_write(broker->options.quarantine_directory, device->name, text);
	if (r < 0)
		log_line(LOG_ERR, "%s: cannot record it in %s, so a restart would forget what it was used for: %s",
			device->name, broker->options.quarantine_directory, strerror(-r));
}

/* A line that must fit TO, without its end. Returns what is behind it, or NULL. */
static const char *take_line(const char *text, char *to, size_t size)
{
	size_t length = strcspn(text, "\n");

	if (text[length] != '\n' || length > size)
		return NULL;
	memset(to, 0, size);
	memcpy(to, text, length);
	return text + length + 1;
}

/* Returns what is behind it, or NULL. */
static const char *parse(const char *text, uint64_t now, struct quarantine *q)
{
	int reason, need, direct, end = 0;
	char numbers[NUMBERS_SIZE];

	text = take_line(text, numbers, sizeof numbers - 1);
	if (!text)
		return NULL;
	numbers[sizeof numbers - 1] = '\0';
	if (sscanf(numbers, "%d %d %" SCNu64 " %" SCNu32 " %" SCNu32 " %d %" SCNu64 " %d%n", &reason, &q->error,
		    &q->since_us, &q->holder.uid, &q->holder.pid, &need, &q->reset.settle_us, &direct, &end) != 8 ||
		numbers[end] != '\0')
		return NULL;
	if (reason < QUARANTINE_LENT || reason >= QUARANTINE_REASONS || need < RESET_REQUIRED ||
		need > RESET_OPTIONAL || direct < 0 || direct > 1 || q->error < 0 || q->since_us > now)
		return NULL;
	q->direct = direct;
	q->reason = (enum quarantine_reason)reason;
	q->reset.need = (enum reset_need)need;
	text = take_line(text, q->holder.unit, sizeof q->holder.unit);
	if (text)
		text = take_line(text, q->rule, sizeof q->rule - 1);
	return text;
}

/* ---- beginning and end ---- */

static void forget_before(struct device *device)
{
	free(device->before);
	device->before = NULL;
}

static void forget(const struct broker *broker, struct device *device)
{
	forget_before(device);
	free(device->quarantine);
	device->quarantine = NULL;
	record_remove(broker->options.quarantine_directory, device->name);
}

/* Of the device: which lease it is about. */
static struct audit_event event_of(enum change_kind kind, const struct device *device, const struct quarantine *q)
{
	return (struct audit_event){
		.kind = kind, .device = device->name, .group = device->group, .who = q->holder, .rule = q->rule};
}

/* A copy of Q is the device's from now on. */
static void put(struct broker *broker, struct device *device, const struct quarantine *q)
{
	struct quarantine *copy = device->quarantine ? device->quarantine : malloc(sizeof *copy);
	struct audit_event event = event_of(CHANGE_QUARANTINE, device, q);
	char text[DETAIL_SIZE];

	if (!copy) {
		log_line(LOG_ERR, "%s: out of memory: it was not reset, and nothing keeps it from the next user",
			device->name);
		return;
	}
	*copy = *q;
	device->quarantine = copy;
	forget_before(device);
	save(broker, device, q, NULL);
	if (q->reason == QUARANTINE_LEAVING)
		return;
	quarantine_text(broker, device, text, sizeof text);
	if (quarantine_holds(device))
		audit_record(broker, &event, "quarantined: %s", text);
	else
		log_line(LOG_INFO, "not quarantined, because rule %s has reset = optional: %s", q->rule, text);
}

/* Of a lease as it stands now. */
static struct quarantine of_lease(const struct lease *lease, enum quarantine_reason reason)
{
	struct quarantine q = {
		.reason = reason,
		.since_us = loop_now(lease->broker->event),
		.holder = lease->device->group->holder,
		.reset = lease->reset,
		.direct = lease->direct,
	};

	memcpy(q.rule, lease->rule, sizeof q.rule);
	return q;
}

/* How its last lease ended is not known, to this broker. */
static bool is_lent(const struct device *device)
{
	return device->quarantine && device->quarantine->reason == QUARANTINE_LENT;
}

/* What stood against the device before the lease that it is in, or that has just ended; or NULL. */
static const struct quarantine *before_lease(const struct device *device)
{
	return is_lent(device) ? device->before : device->quarantine;
}

void quarantine_lend(struct lease *lease)
{
	struct quarantine q = of_lease(lease, QUARANTINE_LENT);
	struct device *device = lease->device;

	/* What stands against the device already stays: it is still true if this lease ends without a BIND. What has left the machine takes
	 * its record with it. */
	if (device->present)
		save(lease->broker, device, &q, before_lease(device));
	device->used = true;
}

/* Why, if the keeper has said that it was not. Where sysfs knows a method, the one that VFIO tried has failed, though it says that
 * it had none. */
static enum quarantine_reason not_reset(const struct broker *broker, const struct device *device, int error)
{
	return error == 0 && broker->host->resettable(device->name) <= 0 ? QUARANTINE_NO_RESET
									 : QUARANTINE_RESET_FAILED;
}

/* The lease has changed nothing: what was true before it still is. */
static void as_before(const struct broker *broker, struct device *device)
{
	if (is_lent(device)) {
		free(device->quarantine);
		device->quarantine = device->before;
		device->before = NULL;
	}
	if (device->quarantine)
		save(broker, device, device->quarantine, NULL);
	else
		forget(broker, device);
}

/* The device was not reset in a lease by a stricter rule, nor in the one of Q after that: the stricter still counts. */
static void keep_stricter(struct quarantine *q, const struct quarantine *before)
{
	if (policy_settle(&before->reset) > policy_settle(&q->reset))
		q->reset.settle_us = policy_settle(&before->reset);
	if (before->reset.need >= q->reset.need)
		return;
	q->reset.need = before->reset.need;
	memcpy(q->rule, before->rule, sizeof q->rule);
}

/*
 * Q has the lease that has ended; what it means is found here.
 *
 * A keeper that died has reported nothing. The kernel then closed the device, and vfio-pci's close resets it by the same
 * methods that sysfs lists (pci_reset_function()), or those failing, not at all, telling nobody. If there is one, it is believed: the next
 * open resets the device again before bus mastering goes on, so that DMA that was still queued does not
 * reach the next domain. If there is none, nothing happened. But a device that was not reset before may not have been opened in
 * the lease, either, and so not have been closed: that still stands.
 */
static void judge(
	struct broker *broker, struct device *device, struct quarantine q, const struct release_report *report)
{
	q.since_us = loop_now(broker->event);
	if (!device->present || (report && report->reset == RESET_DONE)) {
		forget(broker, device);
		return;
	}
	if (!report && broker->host->resettable(device->name) > 0) {
		as_before(broker, device);
		return;
	}
	if (before_lease(device))
		keep_stricter(&q, before_lease(device));
	if (report && report->reset != RESET_NONE)
		q.error = (int)report->steps[RELEASE_RESET].error;
	if (!report)
		q.reason = q.direct ? QUARANTINE_DIRECT : QUARANTINE_UNREPORTED;
	else if (report->reason == ENDED_UNPLUG)
		q.reason = QUARANTINE_LEAVING;
	else
		q.reason = not_reset(broker, device, q.error);
	put(broker, device, &q);
}

void quarantine_lease_ended(struct lease *lease, const struct release_report *report)
{
	struct device *device = lease->device;
	struct broker *broker = lease->broker;

	/* The client never had it. */
	if (!device->used)
		return;
	if (report && report->reset == RESET_NOT_OPEN) {
		as_before(broker, device);
		return;
	}
	if (report && report->reset != RESET_UNSURE) {
		judge(broker, device, of_lease(lease, QUARANTINE_LENT), report);
		return;
	}
	/* The kernel may still be closing it, or its holder using it: quarantine_group_free() looks what became of it. */
	if (!is_lent(device)) {
		struct quarantine *lent = malloc(sizeof *lent);

		if (!lent) {
			log_line(LOG_ERR, "%s: out of memory: how its lease ended is not known", device->name);
			return;
		}
		device->before = device->quarantine;
		device->quarantine = lent;
	}
	*device->quarantine = of_lease(lease, QUARANTINE_LENT);
}

void quarantine_recalled_ended(struct broker *broker, struct device *device, const struct release_report *report)
{
	if (!is_lent(device))
		return;
	if (report->reset == RESET_UNSURE)
		device->group->direct = device->quarantine->direct = true;
	else if (report->reset == RESET_NOT_OPEN)
		as_before(broker, device);
	else
		judge(broker, device, *device->quarantine, report);
}

bool quarantine_unheard(struct broker *broker, struct device *device)
{
	if (!is_lent(device))
		return true;
	if (device->quarantine->direct)
		return false;
	judge(broker, device, *device->quarantine, NULL);
	return true;
}

/* How much of SETTLE is still to come for a device that is closed since Q->since_us. */
static uint64_t rest(const struct quarantine *q, uint64_t settle, uint64_t now)
{
	return now - q->since_us < settle ? settle - (now - q->since_us) : 0;
}

/* How much longer nothing is done with the device of Q. */
static uint64_t rest_of(const struct quarantine *q, uint64_t now)
{
	if (q->reason == QUARANTINE_LEAVING)
		return rest(q, LEAVING_US, now);
	/* One that nobody may have needs no time. */
	if (q->reason == QUARANTINE_LENT || q->reason == QUARANTINE_SILENT || q->reset.need == RESET_REQUIRED)
		return 0;
	return rest(q, policy_settle(&q->reset), now);
}

static bool is_leaving(const struct device *device)
{
	return device->quarantine && device->quarantine->reason == QUARANTINE_LEAVING;
}

/* It has had the time to leave. */
static void judge_staying(struct broker *broker, struct device *device)
{
	struct quarantine q = *device->quarantine;

	q.reason = not_reset(broker, device, q.error);
	put(broker, device, &q);
}

void quarantine_group_free(struct group *group)
{
	struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		assert(!device->lease);
		if (is_lent(device))
			judge(group->broker, device, *device->quarantine, NULL);
		/* While it leaves, it may read all ones. */
		if (is_leaving(device) && rest_of(device->quarantine, loop_now(group->broker->event)) > 0)
			continue;
		if (is_leaving(device))
			judge_staying(group->broker, device);
		if (device->used)
			quarantine_look(group->broker, device);
		device->used = false;
	}
}

void quarantine_look(struct broker *broker, struct device *device)
{
	struct quarantine q = {.holder = device->group->holder};
	uint32_t ids;

	if (!device->present || broker->host->probe(device->name, &ids) < 0 || ids != UINT32_MAX)
		return;
	if (is_leaving(device) || (device->quarantine && device->quarantine->reason == QUARANTINE_SILENT))
		return;
	/* It may be not reset as well: the lease is the same. */
	if (device->quarantine)
		q = *device->quarantine;
	q.reason = QUARANTINE_SILENT;
	q.since_us = loop_now(broker->event);
	put(broker, device, &q);
}

void quarantine_left(struct broker *broker, struct device *device)
{
	struct audit_event event;

	if (quarantine_holds(device) && !is_leaving(device)) {
		event = event_of(CHANGE_QUARANTINE_END, device, device->quarantine);
		event.duration_us = loop_now(broker->event) - device->quarantine->since_us;
		audit_record(broker, &event, "%s: no longer quarantined, it has left the machine", device->name);
	}
	/* Also a record that only the disk has, of a lease that goes on. */
	forget(broker, device);
}

void quarantine_end(struct broker *broker, struct device *device)
{
	struct group *group = device->group;

	forget(broker, device);
	if (group)
		group_give_back(group, broker);
}

static bool is_before(const char *text, uint64_t now, struct quarantine *before)
{
	text = parse(text, now, before);
	return text && *text == '\0' && before->reason != QUARANTINE_LENT;
}

static int on_record(void *context, const char *name, const char *text)
{
	struct broker *broker = context;
	struct device *device = inventory_find(&broker->inventory, name);
	uint64_t now = loop_now(broker->event);
	struct quarantine q = {0}, before = {0};
	const char *more = parse(text, now, &q);
	char words[DETAIL_SIZE];

	if (!more || (*more && (q.reason != QUARANTINE_LENT || !is_before(more, now, &before))))
		return -EINVAL;
	if (!device || !device->group) {
		log_line(LOG_NOTICE, "%s: it has left the machine, and what stood against it is forgotten", name);
		record_remove(broker->options.quarantine_directory, name);
		return 0;
	}
	device->quarantine = malloc(sizeof q);
	if (!device->quarantine)
		return -ENOMEM;
	*device->quarantine = q;
	if (*more) {
		device->before = malloc(sizeof before);
		if (!device->before)
			return -ENOMEM;
		*device->before = before;
	}
	if (quarantine_holds(device) && !is_leaving(device))
		log_line(LOG_NOTICE, "still quarantined: %s", quarantine_text(broker, device, words, sizeof words));
	device->used = q.reason == QUARANTINE_LENT || q.reason == QUARANTINE_LEAVING;
	/* Whoever had it may still be there, and it may have to rest: the group finds out. Of a device that is not lent, this holder may not
	 * be the last: a keeper that has the group knows better, and so does the record of a sibling that is lent. */
	if (device->used || (device->group->holder.pid == 0 && !device->group->keeper))
		device->group->holder = q.holder;
	if (device->used)
		device->group->direct |= q.direct;
	group_recall(device->group, broker);
	return 0;
}

int quarantine_recall(struct broker *broker)
{
	return record_each(broker->options.quarantine_directory, on_record, broker);
}

/* ---- what it means ---- */

static bool holds(const struct quarantine *q)
{
	return q->reason == QUARANTINE_SILENT || (q->reason != QUARANTINE_LENT && q->reset.need != RESET_OPTIONAL);
}

bool quarantine_holds(const struct device *device)
{
	return device->quarantine && holds(device->quarantine);
}

const struct device *quarantine_of_group(const struct group *group)
{
	const struct device *device;

	LIST_FOREACH(device, &group->devices, in_group) {
		if (!device->lease && quarantine_holds(device))
			return device;
	}
	return NULL;
}

uint64_t quarantine_rest_us(const struct group *group)
{
	const struct device *device;
	uint64_t longest = 0;

	LIST_FOREACH(device, &group->devices, in_group) {
		uint64_t this = device->quarantine ? rest_of(device->quarantine, loop_now(group->broker->event)) : 0;

		if (this > longest)
			longest = this;
	}
	return longest;
}

/* ---- words ---- */

const char *quarantine_since(const struct broker *broker, uint64_t since_us, char *buffer, size_t size)
{
	uint64_t age = (loop_now(broker->event) - since_us) / 1000000;
	time_t since = time(NULL) - (time_t)age;
	struct tm local;
	char when[32];

	if (!localtime_r(&since, &local) || strftime(when, sizeof when, "%F %T", &local) == 0)
		snprintf(when, sizeof when, "?");
	if (age < 120)
		snprintf(buffer, size, "since %s (%" PRIu64 " s)", when, age);
	else if (age < 2 * 3600)
		snprintf(buffer, size, "since %s (%" PRIu64 " min)", when, age / 60);
	else
		snprintf(buffer, size, "since %s (%" PRIu64 " h)", when, age / 3600);
	return buffer;
}

static void reason_text(const struct device *device, char *buffer, size_t size)
{
	const struct quarantine *q = device->quarantine;

	switch (q->reason) {
	case QUARANTINE_NO_RESET:
		snprintf(buffer, size, "%s was not reset, it has no reset method", device->name);
		break;
	case QUARANTINE_RESET_FAILED:
		snprintf(buffer, size, "%s was not reset, its reset failed%s%s", device->name,
			q->error ? ": " : " when VFIO opened it", q->error ? strerror(q->error) : "");
		break;
	case QUARANTINE_UNREPORTED:
		snprintf(buffer, size, "%s was not reset, its keeper died and it has no reset method", device->name);
		break;
	case QUARANTINE_DIRECT:
		snprintf(buffer, size, "%s was not reset after access = direct, it has no reset method", device->name);
		break;
	case QUARANTINE_SILENT:
		snprintf(buffer, size, "%s does not answer, its configuration space reads all ones", device->name);
		break;
	case QUARANTINE_LEAVING:
		snprintf(buffer, size, "%s was not reset, because the host is taking it away", device->name);
		break;
	case QUARANTINE_LENT:
	case QUARANTINE_REASONS:
		snprintf(buffer, size, "%s was in use when the service was killed", device->name);
		break;
	}
}

const char *quarantine_text(const struct broker *broker, const struct device *device, char *buffer, size_t size)
{
	const struct quarantine *q = device->quarantine;
	char reason[112], since[64], who[96];

	reason_text(device, reason, sizeof reason);
	quarantine_since(broker, q->since_us, since, sizeof since);
	if (q->holder.pid || q->rule[0])
		snprintf(buffer, size, "%s, %s; last holder %s", reason, since,
			peer_record_text(&q->holder, who, sizeof who));
	else
		snprintf(buffer, size, "%s, %s; nobody had it", reason, since);
	return buffer;
}

/* The stricter of two rules: of the lease, and of who asks. */
static enum reset_need stricter(const struct quarantine *q, const struct policy_rule *rule, char *name, size_t size)
{
	enum reset_need need = rule ? rule->reset.need : RESET_REQUIRED;

	if (rule && need < q->reset.need)
		snprintf(name, size, "\"%.40s\" (%.60s:%u)", rule->name, rule->file, rule->line);
	else
		snprintf(name, size, "%s", q->rule);
	return need < q->reset.need ? need : q->reset.need;
}

int quarantine_refuses(const struct broker *broker, const struct device *device, const struct policy_rule *rule,
	uint32_t uid, struct detail *detail)
{
	const struct quarantine *q = device->quarantine;
	char text[DETAIL_SIZE], name[RULE_TEXT_SIZE];
	uint64_t settle, left;
	enum reset_need need;

	if (!q || q->reason == QUARANTINE_LENT || device->lease)
		return 0;
	quarantine_text(broker, device, text, sizeof text);
	if (q->reason == QUARANTINE_LEAVING)
		return refuse(detail, REFUSAL_DEVICE_BUSY, "%s", text);
	if (q->reason == QUARANTINE_SILENT)
		return refuse(detail, REFUSAL_QUARANTINED, "%s", text);
	need = stricter(q, rule, name, sizeof name);
	if (need == RESET_REQUIRED)
		return refuse(detail, REFUSAL_QUARANTINED, "%s; reset = required by rule %s", text, name);
	if (need == RESET_SAME_USER && uid != q->holder.uid)
		return refuse(detail, REFUSAL_QUARANTINED, "%s; reset = same-user by rule %s", text, name);
	settle = policy_settle(&q->reset);
	if (rule && policy_settle(&rule->reset) > settle)
		settle = policy_settle(&rule->reset);
	left = rest(q, settle, loop_now(broker->event));
	if (left > 0)
		return refuse(detail, REFUSAL_DEVICE_BUSY,
			"%s; it rests for another %" PRIu64 ".%" PRIu64 " s (settle)", text, left / 1000000,
			left / 100000 % 10);
	return 0;
}
