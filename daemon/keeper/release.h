/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_RELEASE_H
#define KEEPER_RELEASE_H

#include "message.h"

#include <stdint.h>

/* The record of a device's release: time and result of each step, for the broker and for the broker's clients. */

/* Records why the device is released. */
void release_set_reason(struct release_report *report, enum end_reason why);

/* The device is about to be closed: forgets the steps of an earlier close. The reason stays. */
void release_begin(struct release_report *report);

/* Records a step begun at START_US (clock_us()) and ended now with R, 0 or a negative errno. Returns R. */
int release_note(struct release_report *report, enum release_step step, uint64_t start_us, int r);

/* Records the result of the reset. */
void release_set_reset(struct release_report *report, enum reset_result result);

/* Forgets a close that is not to be reported. EARLIER is a copy of the report from before the close. */
void release_restore(struct release_report *report, const struct release_report *earlier);

/* The negative errno of the first failed step, or 0. A failed reset does not count: the device is closed all the
 * same, and report->reset records the failure. */
int release_result(const struct release_report *report);

#endif
