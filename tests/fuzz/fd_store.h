/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_FD_STORE_H
#define FUZZ_FD_STORE_H

#include "base/store.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * systemd's file descriptor store, for a broker that is killed in a fuzz target and followed by another one: it is in
 * the place of the broker's own functions of store.h, whose messages there is nobody to read.
 */

#define FD_STORE_MAX 128

/* Nobody's sockets are kept. */
void fd_store_clear(void);

/* A broker that is being taken apart has no say any more: what it stores and forgets is not heard. */
void fd_store_deaf(bool deaf);

/* What the next broker is passed: copies, for it to close. */
size_t fd_store_pass(struct stored stored[FD_STORE_MAX]);

#endif
