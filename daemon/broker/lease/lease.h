/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include "refusal.h"
#include "state/broker.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/*
 * Leases DEVICE, which admission.h has nothing against, to SESSION by RULE: claims it, opens its group if that is not open
 * yet, and offers both to a keeper. Returns CHANNEL_LATER (session_opened() or session_refused() follows), a refusal,
 * or a negative errno; then everything is as before.
 */
int lease_open(struct broker *broker, struct session *session, struct device *device, const struct policy_rule *rule,
	struct detail *detail);

/*
 * Has the device taken back, in DEADLINE_US, until when its holder may use it; the keeper sees to that, with or without this
 * broker. WORDS are for the holder and the log, of REVOKE_WORDS_SIZE at most: by whom and why. An earlier deadline that is set
 * already stays. lease_end() follows, or, if the keeper does not let go, quarantine. LEASE may be gone afterwards.
 */
void lease_revoke(struct lease *lease, enum end_reason reason, uint64_t deadline_us, const char *words);

/* The keeper has closed the device and takes its group out of the domain, where it may hang. LEASE may be gone afterwards. */
void lease_leaving(struct lease *lease, const struct release_report *report);

/* SESSION has DEVICE, by a lease that an earlier broker made and a keeper has told of. NULL: no memory. */
struct lease *lease_recall(struct session *session, struct device *device, const struct query_record *record);

/* The keeper has it, or does not want it (RESULT and DETAIL as in a reply). */
void lease_accepted(struct lease *lease);
void lease_refused(struct lease *lease, int result, const struct detail *detail);

/* The device channel is gone: the lease ends and is freed. */
void lease_end(struct lease *lease);

/* The session has ended; its leases go on until their keepers have let go. */
void lease_orphan(struct lease *lease);

#endif
