/* SPDX-License-Identifier: MIT */
#include "state/waiter.h"

#include "state/inventory.h"

#include <assert.h>

void waiter_join(
	struct waiter *waiter, const struct waiter_kind *kind, struct session *session, struct iommu_group *group)
{
	waiter_enlist(waiter, kind, session, &group->waiters);
	waiter->group = group;
}

void waiter_enlist(
	struct waiter *waiter, const struct waiter_kind *kind, struct session *session, struct waiter_list *list)
{
	assert(!session->waits);
	waiter->kind = kind;
	waiter->session = session;
	waiter->list = list;
	session->waits = waiter;
	TAILQ_INSERT_TAIL(list, waiter, in_group);
}

void waiter_leave(struct waiter *waiter)
{
	TAILQ_REMOVE(waiter->list, waiter, in_group);
	waiter->group = NULL;
	waiter->list = NULL;
	waiter->session->waits = NULL;
}

void waiter_cancel(struct session *session)
{
	if (session->waits)
		session->waits->kind->cancel(session->waits);
}

void waiter_tell(struct iommu_group *group, const struct waiter_news *news)
{
	struct waiter *waiter, *next;

	for (waiter = TAILQ_FIRST(&group->waiters); waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, in_group);
		if (waiter->kind->hear)
			waiter->kind->hear(waiter, news);
	}
}

void waiter_wake(struct iommu_group *group)
{
	struct waiter_list woken = TAILQ_HEAD_INITIALIZER(woken);
	struct waiter *waiter, *next;

	/* All waiters leave before the first looks again: the first may wait for the same group anew, or end the
	 * group. */
	for (waiter = TAILQ_FIRST(&group->waiters); waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, in_group);
		if (!waiter->kind->again)
			continue;
		waiter_leave(waiter);
		TAILQ_INSERT_TAIL(&woken, waiter, in_group);
	}
	group_prune(group);
	while ((waiter = TAILQ_FIRST(&woken))) {
		TAILQ_REMOVE(&woken, waiter, in_group);
		waiter->kind->again(waiter);
	}
}
