/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LEASE_H
#define BROKER_LEASE_H

#include "policy/policy.h"
#include "refusal.h"
#include "state/inventory.h"

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

struct broker;
struct session;
struct user;

/* The life of a lease. */
enum lease_state {
	LEASE_OFFERED,	 /* the keeper has been sent the device and has not answered */
	LEASE_HELD,	 /* the client has the device channel */
	LEASE_RELEASING, /* the keeper is letting go; the client may be gone */
};

struct lease {
	LIST_ENTRY(lease) in_session;
	struct broker *broker;
	struct device *device;
	struct session *session; /* NULL once that has ended */
	struct user *user;
	enum lease_state state;
	int channel; /* owned: the client's end of the device channel, until it is handed over; then -1 */
	uint64_t since_us;
	const struct policy_rule *allowed_by; /* set by review.c alone; NULL: no rule of the policy in force */
	sd_event_source *term;		      /* ends it when its lease-time is over; NULL: there never was one */
	bool direct;			      /* its holder may have the VFIO device itself */
	uint64_t due_us;		      /* when its keeper takes it back, or began to; 0: not ordered */
	struct release_report report;	      /* what its keeper has said of letting go so far; taken 0: nothing */
	uint64_t answered; /* cookie of the OPEN that an earlier broker answered with it; 0: it is this one's own */
	/* What the policy says of its end, and lets its holder map, and the rule that says so. */
	struct reset_policy reset;
	struct window_limits windows;
	uint32_t mappings; /* by one domain channel; or POLICY_UNSET */
	char rule[RULE_TEXT_SIZE];
};

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
