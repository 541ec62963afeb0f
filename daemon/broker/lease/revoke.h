/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVOKE_H
#define BROKER_REVOKE_H

#include "state/broker.h"

/*
 * Has the device taken back, in DEADLINE_US, until when its holder may use it; the keeper sees to that, with or without this
 * broker. WORDS are for the holder and the log, of REVOKE_WORDS_SIZE at most: by whom and why. An earlier deadline that is set
 * already stays. lease_end() follows, or, if the keeper does not let go, quarantine. LEASE may be gone afterwards.
 */
void revoke_lease(struct lease *lease, enum end_reason reason, uint64_t deadline_us, const char *words);

#endif
