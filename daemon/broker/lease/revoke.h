/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVOKE_H
#define BROKER_REVOKE_H

#include "state/broker.h"

/*
 * Has the device taken back in DEADLINE_US. The holder may use the device until then. The keeper sees to the
 * deadline, with or without this broker; at the deadline, this broker has a helper make the device quiet, whatever the
 * keeper does. WORDS are for the holder and the log, of REVOKE_TEXT_SIZE at most: by whom
 * and why. An earlier deadline, once set, stays. group_lease_end() follows, or quarantine, if the keeper does not let
 * go. LEASE may be gone afterwards.
 */
void revoke_lease(struct lease *lease, enum end_reason reason, uint64_t deadline_us, const char *words);

/* LEASE is adopted, and an earlier broker may have ordered it back: sees to the same deadline. */
void revoke_adopted(struct lease *lease);

#endif
