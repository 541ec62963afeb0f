/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_RELEASE_H
#define KEEPER_RELEASE_H

#include "message.h"

#include <stdint.h>

/* What is written down while a device is let go of: each step's time and result, for the broker and whoever asked it. */

/* Why the device is let go of. */
void release_for(struct release_report *report, enum end_reason why);

/* The device is about to be closed: forgets what an earlier close has left, but for the reason. */
void release_begin(struct release_report *report);

/* STEP was begun at START_US (clock_us()) and gave R, 0 or a negative errno. Returns R. */
int release_took(struct release_report *report, enum release_step step, uint64_t start_us, int r);

/* What became of the reset. */
void release_reset(struct release_report *report, enum reset_result result);

/* A close that nobody is to hear of: the report is EARLIER again, a copy made before it. */
void release_undo(struct release_report *report, const struct release_report *earlier);

/* The first step that failed, as negative errno, or 0. A failed reset does not count: the device is closed all the same, and
 * report->reset tells. */
int release_result(const struct release_report *report);

#endif
