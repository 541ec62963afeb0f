/* SPDX-License-Identifier: MIT */
#include "device_name.h"
#include "fdset.h"
#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "table.h"
#include "table_bench.h"
#include "unit.h"

#include <stdbool.h>
#include <string.h>

/* The request tables, and the requests of the broker channel and of the keeper channel. */

/* ---- every table: sizes, descriptors, states, headers ---- */

struct expected {
	uint16_t type;
	const char *name;
	unsigned int states;
	size_t size, element;
	unsigned int fds_min, fds_max;
};

#define ANY	(STATE_NEW | STATE_READY | STATE_BOUND)
#define GREETED (STATE_READY | STATE_BOUND)

/* PROTOCOL.md in numbers, written out a second time. */
static const struct expected broker_expected[] = {
	{1, "HELLO", ANY, 16, 0, 0, 0},
	{2, "PING", GREETED, 0, 0, 0, 0},
	{3, "LIST", STATE_READY, 8, 0, 0, 0},
	{4, "CHECK", STATE_READY, 40, 0, 0, 0},
	{5, "OPEN", STATE_READY, 40, 0, 0, 0},
	{6, "STATUS", STATE_READY, 0, 0, 0, 0},
	{7, "SESSIONS", STATE_READY, 8, 0, 0, 0},
	{8, "LEASES", STATE_READY, 8, 0, 0, 0},
	{9, "REVOKE", STATE_READY, 40, 0, 0, 0},
	{10, "UNQUARANTINE", STATE_READY, 40, 0, 0, 0},
	{11, "WATCH", STATE_READY, 8, 0, 0, 0},
	{12, "POLICY", STATE_READY, 8, 0, 0, 0},
	{13, "EXPLAIN", STATE_READY, 304, 4, 0, 0},
	{14, "PROCESSES", STATE_READY, 8, 0, 0, 0},
};

static const struct expected device_expected[] = {
	{1, "HELLO", ANY, 16, 0, 0, 0},
	{2, "PING", GREETED, 0, 0, 0, 0},
	{3, "DESCRIBE", GREETED, 0, 0, 0, 0},
	{4, "BIND", STATE_READY, 8, 0, 1, 1},
	{5, "UNBIND", STATE_BOUND, 0, 0, 0, 0},
	{6, "REGION_READ", STATE_BOUND, 24, 0, 0, 0},
	{7, "REGION_WRITE", STATE_BOUND, 24, 1, 0, 0},
	{8, "REGION_PROGRAM", STATE_BOUND, 8, 32, 0, 0},
	{9, "IRQ_SET", STATE_BOUND, 16, 0, 1, 253},
	{10, "IRQ_CLEAR", STATE_BOUND, 16, 0, 0, 0},
	{11, "IRQ_UNMASK", STATE_BOUND, 16, 0, 0, 0},
	{12, "RESET", STATE_BOUND, 0, 0, 0, 0},
	{13, "RELEASE", GREETED, 0, 0, 0, 0},
	{14, "REGION_WINDOW", STATE_BOUND, 24, 0, 0, 0},
	{15, "FILE", STATE_BOUND, 0, 0, 0, 0},
};

static const struct expected domain_expected[] = {
	{1, "HELLO", ANY, 16, 0, 0, 0},
	{2, "PING", GREETED, 0, 0, 0, 0},
	{3, "DESCRIBE", STATE_READY, 0, 0, 0, 0},
	{4, "MAP", STATE_READY, 8, 32, 0, 253},
	{5, "UNMAP", STATE_READY, 8, 16, 0, 0},
	{6, "FORGET", STATE_READY, 8, 8, 0, 0},
	{7, "ALLOC", STATE_READY, 8, 16, 0, 0},
};

static const struct expected keeper_expected[] = {
	{1, "HELLO", ANY, 16, 0, 0, 0},
	{2, "PING", GREETED, 0, 0, 0, 0},
	{3, "LEASE", STATE_READY, 496, 0, 1, 3},
	{4, "QUERY", STATE_READY, 8, 0, 0, 0},
	{5, "REVOKE", STATE_READY, 240, 0, 0, 0},
};

static const struct expected helper_expected[] = {
	{1, "HELLO", ANY, 16, 0, 0, 0},
	{2, "PING", GREETED, 0, 0, 0, 0},
	{3, "LOOK", STATE_READY, 72, 0, 0, 1},
	{4, "OVERRIDE_GET", STATE_READY, 72, 0, 0, 0},
	{5, "OVERRIDE_SET", STATE_READY, 72, 0, 0, 0},
	{6, "UNBIND", STATE_READY, 72, 0, 0, 0},
	{7, "BIND", STATE_READY, 72, 0, 0, 0},
	{8, "LEASE", STATE_READY, 496, 0, 2, 2},
	{9, "QUIET", STATE_READY, 72, 0, 0, 0},
	{10, "RESET", STATE_READY, 72, 0, 0, 0},
	{11, "PROBE", STATE_READY, 72, 0, 0, 0},
	{12, "RESET_BUS", STATE_READY, 72, 0, 0, 0},
};

static const struct {
	const struct request_table *table;
	const struct expected *rules;
	size_t count;
	enum channel_kind kind;
	bool takes_fds;
} tables[] = {
	{&broker_table, broker_expected, COUNT(broker_expected), CHANNEL_BROKER, false},
	{&device_table, device_expected, COUNT(device_expected), CHANNEL_DEVICE, true},
	{&domain_table, domain_expected, COUNT(domain_expected), CHANNEL_DOMAIN, true},
	{&keeper_table, keeper_expected, COUNT(keeper_expected), CHANNEL_KEEPER, true},
	{&helper_table, helper_expected, COUNT(helper_expected), CHANNEL_HELPER, true},
};

static void tables_are_as_documented(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		const struct request_table *table = tables[t].table;
		size_t named = 0;

		assert_int_equal(table->kind, tables[t].kind);
		assert_int_equal(table->takes_fds, tables[t].takes_fds);
		/* The last documented number is the last, and there are no others between them. */
		assert_int_equal(table->count, tables[t].rules[tables[t].count - 1].type + 1);
		for (size_t i = 0; i < table->count; i++)
			named += table->rules[i].name != NULL;
		assert_int_equal(named, tables[t].count);
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct expected *expected = &tables[t].rules[i];
			const struct request_rule *rule = &table->rules[expected->type];

			assert_string_equal(table_name(table, expected->type), expected->name);
			assert_int_equal(rule->states, expected->states);
			assert_int_equal(rule->size, expected->size);
			assert_int_equal(rule->element_size, expected->element);
			assert_int_equal(rule->fds_min, expected->fds_min);
			assert_int_equal(rule->fds_max, expected->fds_max);
			/* A table that says it takes none must have none that needs some. */
			assert_true(table->takes_fds || rule->fds_max == 0);
		}
	}
}

static void payloads_have_their_exact_size(void **state)
{
	static const uint8_t zero[512];

	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct expected *rule = &tables[t].rules[i];

			if (rule->size > 0) {
				make(rule->type, zero, rule->size - 1, NULL, 0, rule->fds_min);
				malformed(tables[t].table, STATE_READY, "bytes of payload, at least");
				make(rule->type, NULL, 0, NULL, 0, rule->fds_min);
				malformed(tables[t].table, STATE_READY, "bytes of payload, at least");
			}
			if (rule->element == 1)
				continue;
			make(rule->type, zero, rule->size + 1, NULL, 0, rule->fds_min);
			malformed(tables[t].table, STATE_READY, "trailing bytes");
			if (rule->element > 0) {
				make(rule->type, zero, rule->size + rule->element + 1, NULL, 0, rule->fds_min);
				malformed(tables[t].table, STATE_READY, "trailing bytes");
			}
		}
	}
}

static void descriptors_have_their_count(void **state)
{
	static const uint8_t zero[512];

	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct expected *rule = &tables[t].rules[i];

			if (rule->fds_min > 0) {
				make(rule->type, zero, rule->size, NULL, 0, rule->fds_min - 1);
				malformed(tables[t].table, STATE_READY, "file descriptors, not");
			}
			if (rule->fds_max < FDSET_MAX) {
				make(rule->type, zero, rule->size, NULL, 0, rule->fds_max + 1);
				malformed(tables[t].table, STATE_READY, "file descriptors, not");
			}
		}
	}
}

static void headers_of_requests(void **state)
{
	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		const struct request_table *table = tables[t].table;

		make(COMMON_PING, NULL, 0, NULL, 0, 0);
		accepted(table, STATE_READY);
		accepted(table, STATE_BOUND);
		malformed(table, STATE_NEW, "PING before HELLO");
		for (int bit = 0; bit < 16; bit++) {
			packet.header.flags = (uint16_t)(1U << bit);
			malformed(table, STATE_READY, "a request has no flags");
		}
		packet.header.flags = 0;
		packet.header.cookie = 0;
		malformed(table, STATE_READY, "cookie");
	}
}

static void unknown_requests(void **state)
{
	const uint16_t events[] = {128, 255, 256, 0x8000, UINT16_MAX};

	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		const struct request_table *table = tables[t].table;

		make(0, NULL, 0, NULL, 0, 0);
		refused(table, STATE_READY, REFUSAL_UNSUPPORTED, "request number 0");
		make((uint16_t)table->count, NULL, 0, NULL, 0, 0);
		refused(table, STATE_READY, REFUSAL_UNSUPPORTED, "request number");
		assert_string_equal(table_name(table, 0), "unknown request");
		assert_string_equal(table_name(table, (uint16_t)table->count), "unknown request");
		for (size_t i = 0; i < COUNT(events); i++) {
			make(events[i], NULL, 0, NULL, 0, 0);
			refused(table, STATE_READY, REFUSAL_UNSUPPORTED, "request number");
			assert_string_equal(table_name(table, events[i]), "unknown request");
		}
	}
}

/* ---- names ---- */

static bool name_ok(const char *text)
{
	char name[DEVICE_NAME_SIZE] = {0};

	memcpy(name, text, strlen(text));
	return device_name_valid(name);
}

static void device_names(void **state)
{
	const char *good[] = {"0000:00:00.0", "0000:ff:1f.7", "abcd:ef:01.3", "10000:01:00.0", "12345678:01:00.0"};
	const char *bad[] = {"", "0", "0000", "0000:", "0000:01:00", "0000:01:00.", "0000:01:00.8", "0000:01:00.a",
		"000:01:00.0", "123456789:01:00.0", "0000:1:00.0", "0000:001:00.0", "0000:01:0.0", "0000:01:000.0",
		"0000:01:00.00", "0000:01:00.0 ", " 0000:01:00.0", "0000:01:00.0\n", "0000:AB:00.0", "0000.01:00.0",
		"0000:01.00.0", "0000:01:00:0", "../../etc/passwd", "0000/01:00.0", "0000:01:00.0/..", "01:00.0",
		"0000:01:20.0", "00000:01:00.0"};
	char name[DEVICE_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		if (!name_ok(good[i]))
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (name_ok(bad[i]))
			fail_msg("%s", bad[i]);
	}
	/* Something behind the NUL, up to the last byte. */
	memset(name, 0, sizeof name);
	strcpy(name, NAME);
	name[sizeof name - 1] = 'x';
	assert_false(device_name_valid(name));
	name[sizeof name - 1] = '\0';
	name[sizeof NAME] = 'x';
	assert_false(device_name_valid(name));
	/* No NUL at all. */
	memset(name, '0', sizeof name);
	assert_false(device_name_valid(name));
}

static void device_names_as_people_write_them(void **state)
{
	static const struct {
		const char *text, *name; /* NULL: not the name of a device */
	} names[] = {
		{"0000:01:00.0", "0000:01:00.0"},
		{"02:00.0", "0000:02:00.0"},
		{"2:0.1", "0000:02:00.1"},
		{"0000:2:0.0", "0000:02:00.0"},
		{"0000:3B:1F.7", "0000:3b:1f.7"},
		{"00000000:3b:00.0", "0000:3b:00.0"},
		{"00010000:01:00.0", "10000:01:00.0"},
		{"pci_0000_02_00_0", "0000:02:00.0"},
		{"/sys/bus/pci/devices/0000:02:00.0", "0000:02:00.0"},
		{"/sys/bus/pci/devices/0000:02:00.0/", "0000:02:00.0"},
		{"0000:3b:20.0", NULL},
		{"0000:3f.0", NULL},
		{"100:00.0", NULL},
		{"0000:02:00.8", NULL},
		{"0000:02:00.0x", NULL},
		{"0000:02:00.00", NULL},
		{"0000:100:00.0", NULL},
		{"0000_02_00_0", NULL},
		{"pci_0000:02:00.0", NULL},
		{"pci_", NULL},
		{"123456789:01:00.0", NULL},
		{":00.0", NULL},
		{"nvme0", NULL},
		{"0000:02:00.0/power", NULL},
		{"/", NULL},
		{"", NULL},
	};
	char name[DEVICE_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		bool good = device_name_parse(names[i].text, name);

		if (good != (names[i].name != NULL) || (good && strcmp(name, names[i].name) != 0))
			fail_msg("%s: %s", names[i].text, good ? name : "none");
		if (good)
			assert_true(device_name_valid(name));
	}
}

/* ---- all channels ---- */

static void hello_wants_a_range_of_versions(void **state)
{
	struct hello_request hello = {.version_lowest = 1, .version_highest = 1, .features = UINT64_MAX};

	(void)state;
	for (size_t t = 0; t < COUNT(tables); t++) {
		const struct request_table *table = tables[t].table;

		hello = (struct hello_request){.version_lowest = 1, .version_highest = 9, .features = UINT64_MAX};
		make(COMMON_HELLO, &hello, sizeof hello, NULL, 0, 0);
		accepted(table, STATE_NEW);
		accepted(table, STATE_READY);
		hello.flags = 0x80000000;
		make(COMMON_HELLO, &hello, sizeof hello, NULL, 0, 0);
		malformed(table, STATE_NEW, "unknown flags 0x80000000");
		hello.flags = 0;
		hello.version_lowest = 0;
		make(COMMON_HELLO, &hello, sizeof hello, NULL, 0, 0);
		malformed(table, STATE_NEW, "not a range");
		hello.version_lowest = 10;
		make(COMMON_HELLO, &hello, sizeof hello, NULL, 0, 0);
		malformed(table, STATE_NEW, "not a range");
	}
}

static void hello_is_answered(void **state)
{
	struct hello_request hello = {.version_lowest = 1, .version_highest = 9, .features = 0xff00};
	const struct hello_reply *answer;
	static struct packet reply;

	(void)state;
	make(COMMON_HELLO, &hello, sizeof hello, NULL, 0, 0);
	packet_init(&reply);
	packet_reply(&reply, &packet.header);
	assert_int_equal(table_hello(&domain_table, 0x0ff0, &packet, &reply, &detail), 0);
	answer = packet_body(&reply, sizeof *answer);
	assert_non_null(answer);
	assert_int_equal(reply.header.length, sizeof *answer);
	assert_int_equal(answer->version, MESSAGE_VERSION);
	assert_int_equal(answer->kind, CHANNEL_DOMAIN);
	assert_int_equal(answer->packet_max, MESSAGE_SIZE_MAX);
	assert_int_equal(answer->features, 0x0f00);
	/* A client from the future that has forgotten today's version. */
	hello.version_lowest = MESSAGE_VERSION + 1;
	make(COMMON_HELLO, &hello, sizeof hello, NULL, 0, 0);
	assert_int_equal(table_hello(&domain_table, 0, &packet, &reply, &detail), REFUSAL_UNSUPPORTED);
	assert_non_null(strstr(detail.text, "this side speaks 1"));
}

/* ---- broker channel ---- */

static void broker_pages(void **state)
{
	const uint16_t types[] = {BROKER_LIST, BROKER_SESSIONS, BROKER_LEASES, BROKER_POLICY, BROKER_PROCESSES};

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		struct listing_request page = {.start = UINT32_MAX};

		make(types[i], &page, sizeof page, NULL, 0, 0);
		accepted(&broker_table, STATE_READY);
		malformed(&broker_table, STATE_NEW, "before HELLO");
		page.flags = 1;
		make(types[i], &page, sizeof page, NULL, 0, 0);
		malformed(&broker_table, STATE_READY, "unknown flags 0x1");
	}
}

static void broker_check_and_open(void **state)
{
	const uint16_t types[] = {BROKER_CHECK, BROKER_OPEN};

	(void)state;
	static_assert(sizeof(struct check_request) == sizeof(struct open_request), "the same test serves both");
	for (size_t i = 0; i < COUNT(types); i++) {
		struct open_request open = {.name = NAME};

		make(types[i], &open, sizeof open, NULL, 0, 0);
		accepted(&broker_table, STATE_READY);
		malformed(&broker_table, STATE_NEW, "before HELLO");
		open.flags = 4;
		make(types[i], &open, sizeof open, NULL, 0, 0);
		malformed(&broker_table, STATE_READY, "unknown flags 0x4");
		open.flags = 0;
		open.zero = 1;
		make(types[i], &open, sizeof open, NULL, 0, 0);
		malformed(&broker_table, STATE_READY, "padding");
		open.zero = 0;
		strcpy(open.name, "../\033[2J");
		make(types[i], &open, sizeof open, NULL, 0, 0);
		refused(&broker_table, STATE_READY, REFUSAL_NO_SUCH_DEVICE,
			"\"../\\x1b[2J\" is not the name of a PCI device");
	}
}

static void broker_release(void **state)
{
	struct unquarantine_request release = {.name = NAME};

	(void)state;
	for (uint32_t flags = 0; flags < 4; flags++) {
		release.flags = flags;
		make(BROKER_UNQUARANTINE, &release, sizeof release, NULL, 0, 0);
		accepted(&broker_table, STATE_READY);
		malformed(&broker_table, STATE_NEW, "before HELLO");
	}
	release.flags = 4;
	make(BROKER_UNQUARANTINE, &release, sizeof release, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "unknown flags 0x4");
	release.flags = 0;
	release.zero = 1;
	make(BROKER_UNQUARANTINE, &release, sizeof release, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "padding");
	release.zero = 0;
	strcpy(release.name, "reset");
	make(BROKER_UNQUARANTINE, &release, sizeof release, NULL, 0, 0);
	refused(&broker_table, STATE_READY, REFUSAL_NO_SUCH_DEVICE, "\"reset\" is not the name of a PCI device");
}

static void broker_explain(void **state)
{
	struct {
		struct explain_request explain;
		uint32_t groups[3];
	} request = {.explain = {.name = NAME, .unit = "spdk.service"}};

	(void)state;
	make(BROKER_EXPLAIN, &request, sizeof request, NULL, 0, 0);
	accepted(&broker_table, STATE_READY);
	malformed(&broker_table, STATE_NEW, "before HELLO");
	make(BROKER_EXPLAIN, &request, sizeof request.explain, NULL, 0, 0);
	accepted(&broker_table, STATE_READY);
	make(BROKER_EXPLAIN, &request, sizeof request.explain + 2, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "trailing bytes");
	request.explain.flags = 1;
	make(BROKER_EXPLAIN, &request, sizeof request, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "unknown flags 0x1");
	request.explain.flags = 0;
	request.explain.unit[255] = 'x';
	make(BROKER_EXPLAIN, &request, sizeof request, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "not padded");
	memset(request.explain.unit, 'x', sizeof request.explain.unit);
	make(BROKER_EXPLAIN, &request, sizeof request, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "does not end with a NUL");
	memset(request.explain.unit, 0, sizeof request.explain.unit);
	strcpy(request.explain.name, "nvme0");
	make(BROKER_EXPLAIN, &request, sizeof request, NULL, 0, 0);
	refused(&broker_table, STATE_READY, REFUSAL_NO_SUCH_DEVICE, "\"nvme0\" is not the name of a PCI device");
}

/* ---- taking back ---- */

static void revoke_requests(void **state)
{
	struct revoke_request request = {.deadline_ms = UINT32_MAX, .name = NAME};

	(void)state;
	make(BROKER_REVOKE, &request, sizeof request, NULL, 0, 0);
	accepted(&broker_table, STATE_READY);
	malformed(&broker_table, STATE_NEW, "REVOKE before HELLO");
	request.flags = 1;
	make(BROKER_REVOKE, &request, sizeof request, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "unknown flags 0x1");
	request = (struct revoke_request){.name = "../0000:01:00.0"};
	make(BROKER_REVOKE, &request, sizeof request, NULL, 0, 0);
	names_none(&broker_table);
}

static void order(struct revoke_order request, const char *why)
{
	make(KEEPER_REVOKE, &request, sizeof request, NULL, 0, 0);
	if (why)
		malformed(&keeper_table, STATE_READY, why);
	else
		accepted(&keeper_table, STATE_READY);
}

static void revoke_orders(void **state)
{
	struct revoke_order request = {.reason = ENDED_POLICY, .deadline_us = UINT64_MAX, .name = NAME};

	(void)state;
	order(request, NULL);
	order((struct revoke_order){.reason = ENDED_ADMINISTRATOR, .name = NAME}, NULL);
	order((struct revoke_order){.reason = ENDED_POLICY, .flags = 2, .name = NAME}, "unknown flags 0x2");
	request.name[0] = 'x';
	make(KEEPER_REVOKE, &request, sizeof request, NULL, 0, 0);
	names_none(&keeper_table);
	request.name[0] = '0';
	/* Reasons that nobody orders, or that do not exist. */
	order((struct revoke_order){.name = NAME}, "reason 0");
	order((struct revoke_order){.reason = ENDED_SESSION, .name = NAME}, "reason 4");
	order((struct revoke_order){.reason = ENDED_ERROR + 1, .name = NAME}, "reason 10");
	memset(request.text, 'x', sizeof request.text);
	order(request, "the words have no end");
	request.text[sizeof request.text - 1] = '\0';
	order(request, NULL);
}

/* ---- keeper channel ---- */

static void lease(struct lease_request request, size_t fds, const char *why)
{
	make(KEEPER_LEASE, &request, sizeof request, NULL, 0, fds);
	if (why)
		malformed(&keeper_table, STATE_READY, why);
	else
		accepted(&keeper_table, STATE_READY);
}

static void lease_requests(void **state)
{
	const struct lease_request nothing = {.name = "nothing"};

	(void)state;
	lease((struct lease_request){.name = NAME, .mappings = 5}, 1, NULL);
	malformed(&keeper_table, STATE_NEW, "LEASE before HELLO");
	lease((struct lease_request){.name = NAME, .zero = 1}, 1, "padding is not zero");
	lease((struct lease_request){.name = NAME, .flags = LEASE_GROUP}, 2, NULL);
	lease((struct lease_request){.name = NAME, .flags = LEASE_GROUP}, 1, "1 fds");
	lease((struct lease_request){.name = NAME}, 2, "2 fds");
	lease((struct lease_request){.name = NAME, .flags = LEASE_WINDOWS}, 2, NULL);
	lease((struct lease_request){.name = NAME, .flags = LEASE_WINDOWS}, 1, "1 fds");
	lease((struct lease_request){.name = NAME, .flags = LEASE_WINDOWS}, 3, "3 fds");
	lease((struct lease_request){.name = NAME, .flags = LEASE_GROUP | LEASE_WINDOWS}, 3, NULL);
	lease((struct lease_request){.name = NAME, .flags = LEASE_GROUP | LEASE_WINDOWS}, 2, "2 fds");
	lease((struct lease_request){.name = NAME, .flags = LEASE_GROUP | LEASE_WINDOWS}, 1, "1 fds");
	lease((struct lease_request){.name = NAME, .flags = LEASE_DIRECT}, 1, NULL);
	lease((struct lease_request){.name = NAME, .flags = 8}, 1, "unknown flags 0x8");
	make(KEEPER_LEASE, &nothing, sizeof nothing, NULL, 0, 1);
	names_none(&keeper_table);
}

static void query_requests(void **state)
{
	struct query_request query = {0};

	(void)state;
	make(KEEPER_QUERY, &query, sizeof query, NULL, 0, 0);
	accepted(&keeper_table, STATE_READY);
	query.zero = 1;
	make(KEEPER_QUERY, &query, sizeof query, NULL, 0, 0);
	malformed(&keeper_table, STATE_READY, "padding");
	query = (struct query_request){.flags = 1};
	make(KEEPER_QUERY, &query, sizeof query, NULL, 0, 0);
	malformed(&keeper_table, STATE_READY, "unknown flags 0x1");
}

static struct lease_request limited(struct window_limits limits)
{
	return (struct lease_request){.name = NAME, .windows = limits, .rule = "\"lab\" (t.conf:1)"};
}

static void lease_limits(void **state)
{
	const struct window_range all = {.last = UINT64_MAX}, one = {.region = 5, .first = 4096, .last = 4096};
	struct lease_request request = limited((struct window_limits){.count = UINT32_MAX, .size = UINT64_MAX});

	(void)state;
	lease(request, 1, NULL);
	lease(limited((struct window_limits){.range_count = 2, .ranges = {all, one}}), 1, NULL);
	request = limited((struct window_limits){.range_count = WINDOW_RANGES_MAX});
	for (size_t i = 0; i < WINDOW_RANGES_MAX; i++)
		request.windows.ranges[i] = all;
	lease(request, 1, NULL);
	request.windows.range_count++;
	lease(request, 1, "9 window ranges, not 0 ... 8");
	request.windows.range_count = UINT32_MAX;
	lease(request, 1, "4294967295 window ranges");
	lease(limited((struct window_limits){.range_count = 2, .ranges = {all, {.first = 2, .last = 1}}}), 1,
		"window range 1: ends before it begins");
	lease(limited((struct window_limits){.range_count = 1, .ranges = {{.zero = 1}}}), 1, "window range 0: padding");
	lease(limited((struct window_limits){.range_count = 1, .ranges = {all, {.last = 1}}}), 1,
		"window range 1: not used, and not zero");
	/* The rule's text will be printed: it has an end. */
	request = limited((struct window_limits){0});
	memset(request.rule, 'x', sizeof request.rule);
	lease(request, 1, "the rule's text has no end");
	request.rule[sizeof request.rule - 1] = '\0';
	lease(request, 1, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_as_documented),
		cmocka_unit_test(payloads_have_their_exact_size),
		cmocka_unit_test(descriptors_have_their_count),
		cmocka_unit_test(headers_of_requests),
		cmocka_unit_test(unknown_requests),
		cmocka_unit_test(device_names),
		cmocka_unit_test(device_names_as_people_write_them),
		cmocka_unit_test(hello_wants_a_range_of_versions),
		cmocka_unit_test(hello_is_answered),
		cmocka_unit_test(broker_pages),
		cmocka_unit_test(broker_check_and_open),
		cmocka_unit_test(broker_release),
		cmocka_unit_test(broker_explain),
		cmocka_unit_test(revoke_requests),
		cmocka_unit_test(revoke_orders),
		cmocka_unit_test(lease_requests),
		cmocka_unit_test(query_requests),
		cmocka_unit_test(lease_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
