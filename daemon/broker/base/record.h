/* SPDX-License-Identifier: MIT */
#ifndef BROKER_RECORD_H
#define BROKER_RECORD_H

#include <stddef.h>

/*
 * Facts that the broker has to know again after being killed: small files of text in directories of the broker's own
 * below /run, one for each device, named after the device. The files do not survive a reboot, nor do the claims and
 * quarantines in them.
 */

#define RECORD_SIZE_MAX 1024

/* Replaces the record whole, or leaves the old record. Returns 0 or a negative errno. */
int record_write(const char *directory, const char *name, const char *text);

void record_remove(const char *directory, const char *name);

/* Returns 0, -EINVAL: the record makes no sense, or another negative errno to end the reading. */
typedef int (*record_found)(void *context, const char *name, const char *text);

/* Calls FOUND for each record of an earlier run. Records that make no sense are removed. A missing directory counts as
 * empty. */
int record_each(const char *directory, record_found found, void *context);

#endif
