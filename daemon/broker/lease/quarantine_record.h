/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_RECORD_H
#define BROKER_QUARANTINE_RECORD_H

#include "state/broker.h"

/* Quarantines on disk, a file per device (base/record.h): the next broker reads the records of a killed broker. */

/* Writes Q for DEVICE. BEFORE: NULL, or the quarantine prior to the lease. A failure is logged. */
void quarantine_record_write(const struct broker *broker, const struct device *device, const struct quarantine *q,
	const struct quarantine *before);

/* Returns 0 or a negative errno; an error ends the reading. Q and BEFORE (NULL: none) are borrowed. */
typedef int (*quarantine_record_found)(
	struct broker *broker, const char *name, const struct quarantine *q, const struct quarantine *before);

/* Calls FOUND for each record of an earlier run. Returns 0 or a negative errno. */
int quarantine_record_each(struct broker *broker, quarantine_record_found found);

#endif
