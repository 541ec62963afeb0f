/* SPDX-License-Identifier: MIT */
#ifndef BROKER_RECORD_H
#define BROKER_RECORD_H

#include <stddef.h>

/*
 * What the broker has to know again after it was killed: small files of text in directories of its own below /run,
 * one for each device, named after it. They do not survive a reboot, nor does what they are about.
 */

#define RECORD_SIZE_MAX 1024

/* Replaces the record whole, or leaves it as it was. Returns 0 or a negative errno. */
int record_write(const char *directory, const char *name, const char *text);

void record_remove(const char *directory, const char *name);

/* Returns 0, -EINVAL: the record makes no sense, or another negative errno, which ends the reading. */
typedef int (*record_found)(void *context, const char *name, const char *text);

/* Calls FOUND for each record of an earlier run. Those that make no sense are removed. A missing directory is an empty one. */
int record_each(const char *directory, record_found found, void *context);

#endif
