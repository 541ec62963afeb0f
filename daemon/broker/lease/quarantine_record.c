/* SPDX-License-Identifier: MIT */
#include "lease/quarantine_record.h"

#include "base/loop.h"
#include "base/record.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the record: a line of numbers, a line with the unit of the holder, a line with the rule; if the device was in
 * use, the numbers may end with when the device is due, and three more lines may follow, with what stood against the
 * device before the lease ---- */

#define NUMBERS_SIZE 160

static int print(char *text, size_t size, const struct quarantine *q)
{
	char due[24] = "";

	if (q->due_us > 0)
		snprintf(due, sizeof due, " %" PRIu64, q->due_us);
	return snprintf(text, size, "%d %d %" PRIu64 " %" PRIu32 " %" PRIu32 " %d %" PRIu64 " %d%s\n%.*s\n%.*s\n",
		(int)q->reason, q->error, q->since_us, q->holder.uid, q->holder.pid, (int)q->reset.need,
		q->reset.settle_us, q->direct, due, (int)sizeof q->holder.unit, q->holder.unit, (int)sizeof q->rule - 1,
		q->rule);
}

void quarantine_record_write(const struct broker *broker, const struct device *device, const struct quarantine *q,
	const struct quarantine *before)
{
	char text[RECORD_SIZE_MAX];
	int r = print(text, sizeof text, q);

	static_assert(sizeof text > 2 * (sizeof q->holder.unit + sizeof q->rule + NUMBERS_SIZE), "two do not fit");
	if (before)
		print(text + r, sizeof text - (size_t)r, before);
	r = record_write(broker->options->quarantine_directory, device->name, text);
	if (r < 0)
		log_line(LOG_ERR, "%s: cannot record it in %s, so a restart would forget what it was used for: %s",
			device->name, broker->options->quarantine_directory, strerror(-r));
}

/* Copies a line that must fit TO, without the line's end. Returns the text behind the line, or NULL. */
static const char *take_line(const char *text, char *to, size_t size)
{
	size_t length = strcspn(text, "\n");

	if (text[length] != '\n' || length > size)
		return NULL;
	memset(to, 0, size);
	memcpy(to, text, length);
	return text + length + 1;
}

/* Reads a quarantine from the beginning of *TEXT, and moves *TEXT behind the quarantine. Reason 0: the text makes no
 * sense. */
static struct quarantine parse(const char **text, uint64_t now)
{
	const struct quarantine nonsense = {0};
	struct quarantine q = {0};
	int reason, need, direct, end = 0, due_end = 0;
	char numbers[NUMBERS_SIZE];

	*text = take_line(*text, numbers, sizeof numbers - 1);
	if (!*text)
		return nonsense;
	numbers[sizeof numbers - 1] = '\0';
	if (sscanf(numbers, "%d %d %" SCNu64 " %" SCNu32 " %" SCNu32 " %d %" SCNu64 " %d%n", &reason, &q.error,
		    &q.since_us, &q.holder.uid, &q.holder.pid, &need, &q.reset.settle_us, &direct, &end) != 8)
		return nonsense;
	if (reason == QUARANTINE_IN_USE && sscanf(numbers + end, " %" SCNu64 "%n", &q.due_us, &due_end) == 1)
		end += due_end;
	if (numbers[end] != '\0')
		return nonsense;
	if (reason < QUARANTINE_IN_USE || reason >= QUARANTINE_REASONS || need < RESET_REQUIRED ||
		need > RESET_OPTIONAL || direct < 0 || direct > 1 || q.error < 0 || q.since_us > now)
		return nonsense;
	q.direct = direct;
	q.reason = (enum quarantine_reason)reason;
	q.reset.need = (enum reset_need)need;
	*text = take_line(*text, q.holder.unit, sizeof q.holder.unit);
	if (*text)
		*text = take_line(*text, q.rule, sizeof q.rule - 1);
	return *text ? q : nonsense;
}

struct reading {
	struct broker *broker;
	quarantine_record_found found;
};

static int on_record(void *context, const char *name, const char *text)
{
	const struct reading *reading = context;
	uint64_t now = loop_now(reading->broker->event);
	struct quarantine q = parse(&text, now), before;

	if (q.reason == 0)
		return -EINVAL;
	if (*text == '\0')
		return reading->found(reading->broker, name, &q, NULL);
	before = parse(&text, now);
	if (q.reason != QUARANTINE_IN_USE || before.reason == 0 || before.reason == QUARANTINE_IN_USE || *text != '\0')
		return -EINVAL;
	return reading->found(reading->broker, name, &q, &before);
}

int quarantine_record_each(struct broker *broker, quarantine_record_found found)
{
	struct reading reading = {broker, found};

	return record_each(broker->options->quarantine_directory, on_record, &reading);
}
