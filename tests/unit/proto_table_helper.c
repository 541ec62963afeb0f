/* SPDX-License-Identifier: MIT */
#include "table_bench.h"

#include "helper_message.h"

/* The helper channel's rules. */

static void order(uint16_t type, struct helper_order body, const char *why)
{
	make(type, &body, sizeof body, NULL, 0, 0);
	if (why)
		malformed(&helper_table, STATE_READY, why);
	else
		accepted(&helper_table, STATE_READY);
}

static void looks(void **state)
{
	const uint32_t both = HELPER_LOOK_IDS | HELPER_LOOK_NODE;

	(void)state;
	order(HELPER_LOOK, (struct helper_order){.flags = both, .group = 5, .name = NAME}, NULL);
	malformed(&helper_table, STATE_NEW, "LOOK before HELLO");
	order(HELPER_LOOK, (struct helper_order){.flags = HELPER_LOOK_IDS, .group = GROUP_NONE, .name = NAME}, NULL);
	order(HELPER_LOOK, (struct helper_order){.flags = both, .group = GROUP_NONE, .name = NAME}, "no group");
	order(HELPER_LOOK, (struct helper_order){.name = NAME}, "nothing to look at");
	order(HELPER_LOOK, (struct helper_order){.flags = 8, .name = NAME}, "unknown flags 0x8");
	order(HELPER_LOOK, (struct helper_order){.flags = both, .name = NAME, .driver = "x"}, "a driver's name");
	make(HELPER_LOOK, &(struct helper_order){.flags = both, .name = "../x"}, sizeof(struct helper_order), NULL, 0,
		0);
	names_none(&helper_table);
	order(HELPER_LOOK, (struct helper_order){.flags = HELPER_LOOK_USE, .group = GROUP_NONE, .name = NAME}, NULL);
	/* An inspector is asked for one thing alone. */
	make(HELPER_LOOK, &(struct helper_order){.flags = HELPER_LOOK_USE, .name = NAME}, sizeof(struct helper_order),
		NULL, 0, 1);
	accepted(&helper_table, STATE_READY);
	make(HELPER_LOOK, &(struct helper_order){.flags = both, .name = NAME}, sizeof(struct helper_order), NULL, 0, 1);
	malformed(&helper_table, STATE_READY, "an inspector for nothing");
}

static void drivers(void **state)
{
	static const uint16_t named[] = {HELPER_BIND, HELPER_UNBIND, HELPER_OVERRIDE_SET};
	static const char *const wrong[] = {".", "..", "../x", "a/b", "/", "a\nb"};
	struct helper_order endless = {.name = NAME};

	(void)state;
	memset(endless.driver, 'x', sizeof endless.driver);
	for (size_t i = 0; i < COUNT(named); i++) {
		struct helper_order body = {.name = NAME, .driver = "vfio-pci"};

		order(named[i], body, NULL);
		body.flags = 1;
		order(named[i], body, "unknown flags 0x1");
		order(named[i], endless, "is not the name of a driver");
		for (size_t j = 0; j < COUNT(wrong); j++) {
			body = (struct helper_order){.name = NAME};
			strcpy(body.driver, wrong[j]);
			order(named[i], body, "is not the name of a driver");
		}
		make(named[i], &(struct helper_order){.name = "0000:01:00.8", .driver = "x"},
			sizeof(struct helper_order), NULL, 0, 0);
		names_none(&helper_table);
	}
	/* An override can be cleared, and a driver has a name. */
	order(HELPER_OVERRIDE_SET, (struct helper_order){.name = NAME}, NULL);
	order(HELPER_BIND, (struct helper_order){.name = NAME}, "is not the name of a driver");
	order(HELPER_UNBIND, (struct helper_order){.name = NAME}, "is not the name of a driver");
	order(HELPER_OVERRIDE_GET, (struct helper_order){.name = NAME}, NULL);
	order(HELPER_OVERRIDE_GET, (struct helper_order){.flags = 1, .name = NAME}, "unknown flags 0x1");
	order(HELPER_OVERRIDE_GET, (struct helper_order){.name = NAME, .driver = "x"}, "a driver's name");
}

static void named_device_alone(uint16_t type, const char *too_early)
{
	order(type, (struct helper_order){.name = NAME}, NULL);
	malformed(&helper_table, STATE_NEW, too_early);
	order(type, (struct helper_order){.flags = 1, .name = NAME}, "unknown flags 0x1");
	order(type, (struct helper_order){.name = NAME, .driver = "x"}, "a driver's name");
	make(type, &(struct helper_order){.name = "../x"}, sizeof(struct helper_order), NULL, 0, 0);
	names_none(&helper_table);
}

static void quiet(void **state)
{
	(void)state;
	named_device_alone(HELPER_QUIET, "QUIET before HELLO");
}

static void reset(void **state)
{
	(void)state;
	named_device_alone(HELPER_RESET, "RESET before HELLO");
	named_device_alone(HELPER_PROBE, "PROBE before HELLO");
	named_device_alone(HELPER_RESET_BUS, "RESET_BUS before HELLO");
	order(HELPER_RESET_BUS, (struct helper_order){.group = GROUP_NONE, .name = NAME}, "without a group");
}

static void lease(struct lease_request body, size_t fds, const char *why)
{
	make(HELPER_LEASE, &body, sizeof body, NULL, 0, fds);
	if (why)
		malformed(&helper_table, STATE_READY, why);
	else
		accepted(&helper_table, STATE_READY);
}

static void leases(void **state)
{
	struct lease_request endless = {.name = NAME};

	(void)state;
	lease((struct lease_request){.flags = LEASE_GROUP | LEASE_DIRECT, .name = NAME}, 2, NULL);
	lease((struct lease_request){.name = NAME}, 2, NULL);
	/* Whether there are windows is the helper's to find. */
	lease((struct lease_request){.flags = LEASE_WINDOWS, .name = NAME}, 2, "unknown flags 0x2");
	lease((struct lease_request){.name = NAME}, 1, "1 file descriptors");
	lease((struct lease_request){.name = NAME}, 3, "3 file descriptors");
	lease((struct lease_request){.name = NAME, .zero = 1}, 2, "padding is not zero");
	make(HELPER_LEASE, &(struct lease_request){.name = "x"}, sizeof(struct lease_request), NULL, 0, 2);
	names_none(&helper_table);
	memset(endless.rule, 'x', sizeof endless.rule);
	lease(endless, 2, "has no end");
	lease((struct lease_request){.name = NAME, .windows.range_count = 9}, 2, "window ranges");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks),
		cmocka_unit_test(drivers),
		cmocka_unit_test(quiet),
		cmocka_unit_test(reset),
		cmocka_unit_test(leases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
