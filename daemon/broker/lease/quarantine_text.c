/* SPDX-License-Identifier: MIT */
#include "lease/quarantine_text.h"

#include "base/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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
	case QUARANTINE_UNRESPONSIVE:
		snprintf(buffer, size, "%s does not answer, its configuration space reads all ones", device->name);
		break;
	case QUARANTINE_LEAVING:
		snprintf(buffer, size, "%s was not reset, because the host is taking it away", device->name);
		break;
	case QUARANTINE_IN_USE:
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
