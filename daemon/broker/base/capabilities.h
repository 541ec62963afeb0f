/* SPDX-License-Identifier: MIT */
#ifndef BROKER_CAPABILITIES_H
#define BROKER_CAPABILITIES_H

/*
 * Empties the effective, permitted, inheritable, ambient and bounding capability sets of the process, for good, and
 * checks that all sets are empty. Returns 0 or a negative errno.
 */
int capabilities_drop(void);

#endif
