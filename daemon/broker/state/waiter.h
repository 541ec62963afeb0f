/* SPDX-License-Identifier: MIT */
#ifndef BROKER_WAITER_H
#define BROKER_WAITER_H

#include "state/broker.h"

/*
 * Requests that wait for what becomes of a group: an OPEN until the group may be had again, a REVOKE until its device is back. A
 * session has one at most (session->waits), because a channel serves one request at a time.
 */

/* What has become of a group. */
enum waiter_event {
	WAITER_RELEASED,    /* a keeper has let go of a device: `released` has its words */
	WAITER_LEASE_ENDED, /* the lease of `device` has ended */
	WAITER_TOLD,	    /* the keeper of an earlier broker has told which devices it has: `records` */
	WAITER_CLOSED,	    /* the kernel has let go of the group */
	WAITER_STUCK,	    /* letting go takes too long: the group is quarantined */
};

struct waiter_news {
	enum waiter_event event;
	const char *device;		       /* WAITER_LEASE_ENDED: its name */
	const struct released_event *released; /* WAITER_RELEASED */
	const struct query_record *records;    /* WAITER_TOLD */
	uint32_t count;			       /* of records */
};

/* What a kind of request does with that. */
struct waiter_kind {
	/* Hears NEWS of the group; may leave, and free itself. NULL: news are nothing to it. */
	void (*hear)(struct waiter *waiter, const struct waiter_news *news);
	/* The group may be had, or will not be for long. The waiter has left it and frees itself. NULL: waits on. */
	void (*again)(struct waiter *waiter);
	/* The session ends: leaves and frees itself. */
	void (*cancel)(struct waiter *waiter);
};

struct waiter {
	TAILQ_ENTRY(waiter) in_group;
	const struct waiter_kind *kind;
	struct session *session;
	struct iommu_group *group;
};

/* WAITER, zeroed, is SESSION's from now on, and waits for GROUP. */
void waiter_join(
	struct waiter *waiter, const struct waiter_kind *kind, struct session *session, struct iommu_group *group);

/* The opposite. WAITER's memory stays its kind's. */
void waiter_leave(struct waiter *waiter);

/* For the end of a session: its waiter, if there is one, is cancelled. */
void waiter_cancel(struct session *session);

/* All who wait for GROUP hear NEWS, in the order in which they came. */
void waiter_tell(struct iommu_group *group, const struct waiter_news *news);

/* All who look again do so. GROUP may be gone afterwards. */
void waiter_wake(struct iommu_group *group);

#endif
