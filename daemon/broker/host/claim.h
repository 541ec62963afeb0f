/* SPDX-License-Identifier: MIT */
#ifndef BROKER_CLAIM_H
#define BROKER_CLAIM_H

#include "host/host.h"

/*
 * A claim takes a device from its host driver, gives it to vfio-pci, and undoes both later. Its record, a file
 * in the claims directory, is written before the first change and removed after the last, so that the next
 * broker can undo what an earlier one could not.
 */
struct claim {
	char driver[DRIVER_NAME_SIZE];	 /* the host driver to go back to; empty: none */
	char override[DRIVER_NAME_SIZE]; /* driver_override to go back to; empty: none */
};

/*
 * Makes vfio-pci the driver of the device. RET_CLAIM is the caller's, for claim_restore(); NULL if vfio-pci was the
 * driver before and nothing has to be undone. On failure everything is as before. Returns 0 or a negative errno.
 */
int claim_make(const struct host *host, const char *directory, const char *name, struct claim **ret_claim);

/* Binds a device with a claim to vfio-pci, if not bound already: the broker that made the claim was killed. Returns
 * 0 or a negative errno. */
int claim_finish(const struct host *host, const char *name);

/*
 * Gives the device back and frees the claim, also when a step fails: then the first error is returned, and the record
 * stays if the device is still with vfio-pci. The group must be free: unbinding a device in use would wait.
 */
int claim_restore(const struct host *host, const char *directory, const char *name, struct claim *claim);

typedef int (*claim_found)(void *context, const char *name, struct claim *claim);

/* Calls FOUND for each record of an earlier run; the claim is FOUND's. Records that make no sense are removed. */
int claim_load(const char *directory, claim_found found, void *context);

#endif
