/* SPDX-License-Identifier: MIT */
#include "state/broker.h"
#include "state/inventory.h"
#include "state/waiter.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* Waiters that write down what happens to them, by the letter of their session. */
#define SESSIONS 4

static struct inventory inventory;
static struct iommu_group *group;
static struct session sessions[SESSIONS];
static struct waiter waiters[SESSIONS];
static char story[64];

static void note(const struct waiter *waiter, char what)
{
	size_t end = strlen(story);

	story[end] = (char)('a' + (waiter - waiters));
	story[end + 1] = what;
}

static void hear(struct waiter *waiter, const struct waiter_news *news)
{
	note(waiter, (char)('0' + (int)news->event));
	if (news->event == WAITER_CLOSED)
		waiter_leave(waiter);
}

static void again(struct waiter *waiter)
{
	note(waiter, '!');
}

static const struct waiter_kind open_kind;

static void again_and_again(struct waiter *waiter)
{
	note(waiter, '!');
	waiter_join(waiter, &open_kind, &sessions[waiter - waiters], group);
}

static void cancel(struct waiter *waiter)
{
	note(waiter, 'x');
	waiter_leave(waiter);
}

static const struct waiter_kind open_kind = {.again = again, .cancel = cancel};
static const struct waiter_kind stubborn_kind = {.again = again_and_again, .cancel = cancel};
static const struct waiter_kind revoke_kind = {.hear = hear, .cancel = cancel};

static int begin(void **state)
{
	(void)state;
	memset(sessions, 0, sizeof sessions);
	memset(waiters, 0, sizeof waiters);
	memset(story, 0, sizeof story);
	inventory = (struct inventory){0};
	LIST_INIT(&inventory.devices);
	LIST_INIT(&inventory.groups);
	group = group_get(&inventory, 7);
	assert_non_null(group);
	/* A group that is free and has no devices goes with its last waiter. */
	group->state = GROUP_HELD;
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (size_t i = 0; i < SESSIONS; i++)
		waiter_cancel(&sessions[i]);
	if (!LIST_EMPTY(&inventory.groups)) {
		group->state = GROUP_FREE;
		group_prune(group);
	}
	assert_true(LIST_EMPTY(&inventory.groups));
	return 0;
}

static void join(size_t i, const struct waiter_kind *kind)
{
	waiter_join(&waiters[i], kind, &sessions[i], group);
	assert_ptr_equal(sessions[i].waits, &waiters[i]);
}

static void tell(enum waiter_event event)
{
	waiter_tell(group, &(struct waiter_news){.event = event});
}

static void news_are_heard_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < SESSIONS; i++)
		join(i, &revoke_kind);
	tell(WAITER_RELEASED);
	assert_string_equal(story, "a0b0c0d0");
}

static void who_leaves_hears_no_more(void **state)
{
	(void)state;
	join(0, &revoke_kind);
	join(1, &revoke_kind);
	tell(WAITER_CLOSED);
	assert_string_equal(story, "a3b3");
	assert_null(sessions[0].waits);
	assert_null(sessions[1].waits);
	tell(WAITER_STUCK);
	assert_string_equal(story, "a3b3");
}

static void opens_hear_no_news(void **state)
{
	(void)state;
	join(0, &open_kind);
	join(1, &revoke_kind);
	tell(WAITER_LEASE_ENDED);
	assert_string_equal(story, "b1");
}

static void only_opens_are_woken(void **state)
{
	(void)state;
	join(0, &open_kind);
	join(1, &revoke_kind);
	join(2, &open_kind);
	waiter_wake(group);
	assert_string_equal(story, "a!c!");
	assert_null(sessions[0].waits);
	assert_ptr_equal(sessions[1].waits, &waiters[1]);
}

/* Without end, if those that wait again were woken again. */
static void who_waits_again_is_woken_once(void **state)
{
	(void)state;
	join(0, &stubborn_kind);
	join(1, &stubborn_kind);
	waiter_wake(group);
	assert_string_equal(story, "a!b!");
	assert_ptr_equal(sessions[0].waits, &waiters[0]);
}

static void end_of_a_session_cancels(void **state)
{
	(void)state;
	join(0, &open_kind);
	join(1, &revoke_kind);
	waiter_cancel(&sessions[0]);
	waiter_cancel(&sessions[0]);
	assert_string_equal(story, "ax");
	tell(WAITER_TOLD);
	waiter_wake(group);
	assert_string_equal(story, "axb2");
}

static void forgotten_group_goes_with_its_waiters(void **state)
{
	(void)state;
	join(0, &open_kind);
	group->state = GROUP_FREE;
	waiter_wake(group);
	assert_string_equal(story, "a!");
	assert_true(LIST_EMPTY(&inventory.groups));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(news_are_heard_in_order),
		CASE(who_leaves_hears_no_more),
		CASE(opens_hear_no_news),
		CASE(only_opens_are_woken),
		CASE(who_waits_again_is_woken_once),
		CASE(end_of_a_session_cancels),
		CASE(forgotten_group_goes_with_its_waiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
