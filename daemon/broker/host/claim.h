/* SPDX-License-Identifier: MIT */
#ifndef BROKER_CLAIM_H
#define BROKER_CLAIM_H

#include "host/host.h"

#include <stdbool.h>

/*
 * The record of a device that helpers take from its host driver, give to vfio-pci, and later give back: a file in the
 * claims directory, written before the first change and removed after the last, so that the next broker can undo what
 * an earlier one could not. lease/grant.c takes, lease/rebind.c gives back.
 */
struct claim {
	char driver[DRIVER_NAME_SIZE];	 /* the host driver to go back to; empty: none */
	char override[DRIVER_NAME_SIZE]; /* driver_override to go back to; empty: none */
	bool appeared; /* `driver` is empty, and a driver has appeared in the kernel since: it may want the device */
	int error;     /* negative errno of the last way back, which has failed; 0: none has. Not on record */
	bool told;     /* of the error. Not on record */
};

/* Writes the record of the device NAME. Returns 0 or a negative errno. */
int claim_write(const char *directory, const char *name, const struct claim *claim);

/* Removes the record: nothing of the claim is left. */
void claim_remove(const char *directory, const char *name);

typedef int (*claim_found)(void *context, const char *name, struct claim *claim);

/* Calls FOUND for each record of an earlier run; the claim is FOUND's. Records that make no sense are removed. */
int claim_load(const char *directory, claim_found found, void *context);

#endif
