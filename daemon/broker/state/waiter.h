/* SPDX-License-Identifier: MIT */
#ifndef BROKER_WAITER_H
#define BROKER_WAITER_H

#include "state/broker.h"

/*
 * Requests that wait for news of a group: an OPEN until the group may be had again, a REVOKE until the device is
 * back. Requests that need the policy wait for the policy, in a list of their own. A session has at most a single
 * waiter (session->waits), because a channel serves a single request at a time.
 */

/* The news of a group. */
enum waiter_event {
	WAITER_RELEASED,    /* a keeper has let go of a device: `released` has the keeper's report */
	WAITER_LEASE_ENDED, /* the lease of `device` has ended */
	WAITER_TOLD,	    /* the keeper of an earlier broker has reported the leases: `records` */
	WAITER_CLOSED,	    /* the kernel has let go of the group */
	WAITER_STUCK,	    /* letting go takes too long: the group is quarantined */
};

struct waiter_news {
	enum waiter_event event;
	const char *device;		       /* WAITER_LEASE_ENDED: the name */
	const struct released_event *released; /* WAITER_RELEASED */
	const struct query_record *records;    /* WAITER_TOLD */
	uint32_t count;			       /* of records */
};

/* The answers of a kind of request to news. */
struct waiter_kind {
	/* Hears NEWS of the group; may leave, and free the waiter. NULL: ignores news. */
	void (*hear)(struct waiter *waiter, const struct waiter_news *news);
	/* The group may be had, or will not be for long. The waiter has left the group, and AGAIN frees the waiter.
	 * NULL: waits on. */
	void (*again)(struct waiter *waiter);
	/* The session ends: leaves the group and frees the waiter. */
	void (*cancel)(struct waiter *waiter);
};

struct waiter {
	TAILQ_ENTRY(waiter) in_group;
	const struct waiter_kind *kind;
	struct session *session;
	struct iommu_group *group; /* NULL: waits for something else than a group */
	struct waiter_list *list;  /* of the group, or other */
};

/* WAITER, zeroed, belongs to SESSION from now on, and waits for GROUP. */
void waiter_join(
	struct waiter *waiter, const struct waiter_kind *kind, struct session *session, struct iommu_group *group);

/* The same with a list of waiters that is no group's; nobody tells or wakes these waiters but the owner of the list. */
void waiter_enlist(
	struct waiter *waiter, const struct waiter_kind *kind, struct session *session, struct waiter_list *list);

/* Undoes waiter_join() and waiter_enlist(). The memory of WAITER stays with the kind of request. */
void waiter_leave(struct waiter *waiter);

/* For the end of a session: cancels the session's waiter, if there is a waiter. */
void waiter_cancel(struct session *session);

/* All waiters of GROUP hear NEWS, in the order in which the waiters came. */
void waiter_tell(struct iommu_group *group, const struct waiter_news *news);

/* All waiters with AGAIN leave GROUP and look again. GROUP may be gone afterwards. */
void waiter_wake(struct iommu_group *group);

#endif
