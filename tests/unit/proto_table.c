/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "unit.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAME	     "0000:01:00.0"

/*
 * A request is made valid, checked to be accepted, then broken in one place and checked to be refused there:
 * WHY must be part of the detail, so that the right rule is what refuses. The descriptors of these packets
 * are only counted by the table, so their numbers are made up and never closed.
 */
static struct packet packet;
static struct detail detail;

static void make(uint16_t type, const void *body, size_t size, const void *rest, size_t rest_size, size_t fds)
{
	packet_init(&packet);
	packet.header = (struct message_header){.type = type, .cookie = 1, .length = (uint32_t)(size + rest_size)};
	assert_true(size + rest_size <= sizeof packet.payload);
	memset(packet.payload, 0xff, sizeof packet.payload);
	if (size > 0)
		memcpy(packet.payload, body, size);
	if (rest_size > 0)
		memcpy(packet.payload + size, rest, rest_size);
	packet.fds.count = fds;
	for (size_t i = 0; i < fds; i++)
		packet.fds.fds[i] = 1000 + (int)i;
}

static int check(const struct request_table *table, enum channel_state state)
{
	strcpy(detail.text, "(none)");
	return table_check(table, state, &packet, &detail);
}

static void accepted(const struct request_table *table, enum channel_state state)
{
	int r = check(table, state);

	if (r != 0)
		fail_msg("refused: %s: %s", refusal_name(r), detail.text);
}

static void refused(const struct request_table *table, enum channel_state state, int refusal, const char *why)
{
	int r = check(table, state);

	if (r != refusal || !strstr(detail.text, why))
		fail_msg("%s (%s), not %s (%s)", refusal_name(r), detail.text, refusal_name(refusal), why);
}

static void malformed(const struct request_table *table, enum channel_state state, const char *why)
{
	refused(table, state, REFUSAL_MALFORMED, why);
}

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
	{10, "RELEASE", STATE_READY, 40, 0, 0, 0},
	{11, "WATCH", STATE_READY, 8, 0, 0, 0},
	{12, "POLICY", STATE_READY, 8, 0, 0, 0},
	{13, "EXPLAIN", STATE_READY, 304, 4, 0, 0},
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
		"0000:01.00.0", "0000:01:00:0", "../../etc/passwd", "0000/01:00.0", "0000:01:00.0/..", "01:00.0"};
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
	const uint16_t types[] = {BROKER_LIST, BROKER_SESSIONS, BROKER_LEASES, BROKER_POLICY};

	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		struct page_request page = {.start = UINT32_MAX};

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
		malformed(&broker_table, STATE_READY, "\"../\\x1b[2J\" is not the name of a PCI device");
	}
}

static void broker_release(void **state)
{
	struct broker_release_request release = {.name = NAME};

	(void)state;
	for (uint32_t flags = 0; flags < 4; flags++) {
		release.flags = flags;
		make(BROKER_RELEASE, &release, sizeof release, NULL, 0, 0);
		accepted(&broker_table, STATE_READY);
		malformed(&broker_table, STATE_NEW, "before HELLO");
	}
	release.flags = 4;
	make(BROKER_RELEASE, &release, sizeof release, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "unknown flags 0x4");
	release.flags = 0;
	release.zero = 1;
	make(BROKER_RELEASE, &release, sizeof release, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "padding");
	release.zero = 0;
	strcpy(release.name, "reset");
	make(BROKER_RELEASE, &release, sizeof release, NULL, 0, 0);
	malformed(&broker_table, STATE_READY, "\"reset\" is not the name of a PCI device");
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
	malformed(&broker_table, STATE_READY, "\"nvme0\" is not the name of a PCI device");
}

/* ---- device channel ---- */

static void device_states(void **state)
{
	struct bind_request bind = {0};
	const uint16_t bound_only[] = {DEVICE_UNBIND, DEVICE_RESET};
	const uint16_t always[] = {DEVICE_DESCRIBE, DEVICE_RELEASE};

	(void)state;
	make(DEVICE_BIND, &bind, sizeof bind, NULL, 0, 1);
	accepted(&device_table, STATE_READY);
	refused(&device_table, STATE_BOUND, REFUSAL_ALREADY_BOUND, "BIND while bound");
	malformed(&device_table, STATE_NEW, "BIND before HELLO");
	for (size_t i = 0; i < COUNT(bound_only); i++) {
		make(bound_only[i], NULL, 0, NULL, 0, 0);
		accepted(&device_table, STATE_BOUND);
		refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "needs a bound device");
		malformed(&device_table, STATE_NEW, "before HELLO");
	}
	for (size_t i = 0; i < COUNT(always); i++) {
		make(always[i], NULL, 0, NULL, 0, 0);
		accepted(&device_table, STATE_READY);
		accepted(&device_table, STATE_BOUND);
		malformed(&device_table, STATE_NEW, "before HELLO");
	}
}

static void bind_has_no_flags(void **state)
{
	struct bind_request bind = {.flags = 1};

	(void)state;
	make(DEVICE_BIND, &bind, sizeof bind, NULL, 0, 1);
	malformed(&device_table, STATE_READY, "unknown flags 0x1");
	bind = (struct bind_request){.zero = 1};
	make(DEVICE_BIND, &bind, sizeof bind, NULL, 0, 1);
	malformed(&device_table, STATE_READY, "padding");
}

static void read_region(struct region_request region, const char *why)
{
	make(DEVICE_REGION_READ, &region, sizeof region, NULL, 0, 0);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

static void region_ranges(void **state)
{
	(void)state;
	read_region((struct region_request){.length = 4, .width = 4}, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_READ needs a bound device");
	malformed(&device_table, STATE_NEW, "before HELLO");
	read_region((struct region_request){.flags = 2, .length = 4, .width = 4}, "unknown flags 0x2");
	read_region((struct region_request){.length = 0}, "length 0 is not in");
	read_region((struct region_request){.length = REGION_LENGTH_MAX}, NULL);
	read_region((struct region_request){.length = REGION_LENGTH_MAX + 1}, "is not in 1 ... 32768");
	read_region((struct region_request){.length = UINT32_MAX, .width = 1}, "is not in 1 ... 32768");
	read_region((struct region_request){.offset = UINT64_MAX - 8, .length = 8, .width = 1}, NULL);
	read_region((struct region_request){.offset = UINT64_MAX - 7, .length = 8, .width = 1}, "overflow");
	read_region((struct region_request){.region = UINT32_MAX, .length = 3}, NULL);
}

static void region_widths(void **state)
{
	(void)state;
	for (uint32_t width = 0; width < 20; width++) {
		bool known = width == 0 || width == 1 || width == 2 || width == 4 || width == 8;

		read_region(
			(struct region_request){
				.offset = width * 3, .length = known ? (width ? width : 7) : 1, .width = width},
			known ? NULL : "is not 0, 1, 2, 4 or 8");
		if (!known || width < 2)
			continue;
		read_region((struct region_request){.offset = 1, .length = width, .width = width}, "is not a multiple");
		read_region((struct region_request){.length = width + 1, .width = width}, "is not a multiple");
		read_region((struct region_request){.length = width * 2, .width = width}, NULL);
	}
	read_region((struct region_request){.length = 1, .width = UINT32_MAX}, "is not 0, 1, 2, 4 or 8");
}

static void region_write_has_its_data(void **state)
{
	struct region_request region = {.length = 4, .width = 4};
	static uint8_t data[REGION_LENGTH_MAX + 1];

	(void)state;
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 4, 0);
	accepted(&device_table, STATE_BOUND);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_WRITE");
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 3, 0);
	malformed(&device_table, STATE_BOUND, "3 bytes of data for length 4");
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 5, 0);
	malformed(&device_table, STATE_BOUND, "5 bytes of data for length 4");
	make(DEVICE_REGION_WRITE, &region, sizeof region, NULL, 0, 0);
	malformed(&device_table, STATE_BOUND, "0 bytes of data for length 4");
	region.width = 3;
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, 4, 0);
	malformed(&device_table, STATE_BOUND, "width 3");
	region = (struct region_request){.length = REGION_LENGTH_MAX};
	make(DEVICE_REGION_WRITE, &region, sizeof region, data, REGION_LENGTH_MAX, 0);
	accepted(&device_table, STATE_BOUND);
}

static void program(struct region_op op, const char *why)
{
	struct program_request request = {.count = 2};
	struct region_op ops[2] = {{.kind = REGION_OP_READ, .width = 4}, op};

	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

static void program_operations(void **state)
{
	const uint64_t all = UINT64_MAX;

	(void)state;
	program((struct region_op){.kind = REGION_OP_READ, .width = 8, .offset = 16, .region = UINT16_MAX}, NULL);
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 1, .offset = 3, .value = 0xff}, NULL);
	program((struct region_op){.kind = REGION_OP_MODIFY, .width = 4, .value = 1, .mask = 3}, NULL);
	program((struct region_op){.kind = REGION_OP_POLL, .width = 4, .value = 1, .mask = 3, .timeout_us = 1}, NULL);
	program((struct region_op){.kind = 0, .width = 4}, "operation 1: unknown kind 0");
	program((struct region_op){.kind = 5, .width = 4}, "operation 1: unknown kind 5");
	program((struct region_op){.kind = 255, .width = 4}, "operation 1: unknown kind 255");
	program((struct region_op){.kind = REGION_OP_READ, .width = 0}, "operation 1: width 0");
	program((struct region_op){.kind = REGION_OP_READ, .width = 3}, "operation 1: width 3");
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .offset = 2}, "width 4 at offset 0x2");
	program((struct region_op){.kind = REGION_OP_READ, .width = 1, .offset = all}, "overflows");
	program((struct region_op){.kind = REGION_OP_READ, .width = 8, .offset = all - 7}, "overflows");
	program((struct region_op){.kind = REGION_OP_READ, .width = 8, .offset = all - 15}, NULL);
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .value = 1}, "READ with a value");
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .mask = 1}, "a mask without use");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 4, .mask = 1}, "a mask without use");
	program((struct region_op){.kind = REGION_OP_READ, .width = 4, .timeout_us = 1}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 4, .timeout_us = 1}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 1, .value = 0x100}, "wider than 1 bytes");
	program((struct region_op){.kind = REGION_OP_MODIFY, .width = 4, .mask = all}, "wider than 4 bytes");
	program((struct region_op){.kind = REGION_OP_WRITE, .width = 8, .value = all}, NULL);
	program((struct region_op){.kind = REGION_OP_MODIFY, .width = 4, .timeout_us = 1}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_POLL, .width = 4}, "POLL has a timeout");
	program((struct region_op){.kind = REGION_OP_POLL, .width = 4, .value = 4, .mask = 3, .timeout_us = 1},
		"POLL for bits outside its mask");
}

static void program_counts(void **state)
{
	static struct region_op ops[PROGRAM_OPS_MAX + 1];
	struct program_request request = {.count = PROGRAM_OPS_MAX};

	(void)state;
	for (size_t i = 0; i < COUNT(ops); i++)
		ops[i] = (struct region_op){.kind = REGION_OP_READ, .width = 4};
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, PROGRAM_OPS_MAX * sizeof ops[0], 0);
	accepted(&device_table, STATE_BOUND);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_PROGRAM");
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, (PROGRAM_OPS_MAX - 1) * sizeof ops[0], 0);
	malformed(&device_table, STATE_BOUND, "does not match the length");
	request.count = PROGRAM_OPS_MAX + 1;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	malformed(&device_table, STATE_BOUND, "2001 operations, not 1 ... 2000");
	request.count = 0;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, NULL, 0, 0);
	malformed(&device_table, STATE_BOUND, "0 operations");
	/* 2^27 * 32 bytes is 0 in 32 bits. */
	request.count = 1U << 27;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, NULL, 0, 0);
	malformed(&device_table, STATE_BOUND, "operations, not 1");
	request = (struct program_request){.flags = 1, .count = 1};
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops[0], 0);
	malformed(&device_table, STATE_BOUND, "unknown flags");
}

static void program_timeouts(void **state)
{
	struct program_request request = {.count = 2};
	struct region_op ops[2] = {
		{.kind = REGION_OP_POLL, .width = 4, .timeout_us = PROGRAM_TIMEOUT_MAX_US / 2},
		{.kind = REGION_OP_POLL, .width = 4, .timeout_us = PROGRAM_TIMEOUT_MAX_US / 2},
	};

	(void)state;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	accepted(&device_table, STATE_BOUND);
	ops[1].timeout_us++;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	malformed(&device_table, STATE_BOUND, "timeouts of 1000001 us");
	/* Their sum is small in 32 bits. */
	ops[0].timeout_us = ops[1].timeout_us = 0x80000000;
	make(DEVICE_REGION_PROGRAM, &request, sizeof request, ops, sizeof ops, 0);
	malformed(&device_table, STATE_BOUND, "timeouts of 4294967296 us");
}

static void window(struct window_request request, const char *why)
{
	make(DEVICE_REGION_WINDOW, &request, sizeof request, NULL, 0, 0);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

/* Pages, BARs and the policy are the keeper's business. */
static void windows(void **state)
{
	const uint64_t all = UINT64_MAX;

	(void)state;
	window((struct window_request){.length = 4096}, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "REGION_WINDOW needs a bound device");
	malformed(&device_table, STATE_NEW, "REGION_WINDOW before HELLO");
	packet.fds.count = 1;
	malformed(&device_table, STATE_BOUND, "1 file descriptors, not 0");
	window((struct window_request){.flags = WINDOW_WRITE | WINDOW_ONES, .region = UINT32_MAX, .length = 1}, NULL);
	window((struct window_request){.flags = 4, .length = 4096}, "unknown flags 0x4");
	window((struct window_request){.flags = 1U << 31 | WINDOW_WRITE, .length = 4096}, "unknown flags 0x80000000");
	window((struct window_request){.offset = 4096}, "empty");
	window((struct window_request){.offset = all - 4096, .length = 4096}, NULL);
	window((struct window_request){.offset = all - 4095, .length = 4096}, "overflow");
	window((struct window_request){.offset = 1, .length = all}, "overflow");
	window((struct window_request){.offset = all, .length = all}, "overflow");
}

static void irq(uint16_t type, struct irq_request request, size_t fds, const char *why)
{
	make(type, &request, sizeof request, NULL, 0, fds);
	if (why)
		malformed(&device_table, STATE_BOUND, why);
	else
		accepted(&device_table, STATE_BOUND);
}

static void irq_requests(void **state)
{
	const uint32_t all = UINT32_MAX;

	(void)state;
	irq(DEVICE_IRQ_SET, (struct irq_request){.index = 2, .start = 5, .count = 3}, 3, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "IRQ_SET");
	irq(DEVICE_IRQ_SET, (struct irq_request){.count = FDSET_MAX}, FDSET_MAX, NULL);
	irq(DEVICE_IRQ_SET, (struct irq_request){.count = 2}, 3, "2 vectors with 3 eventfds");
	irq(DEVICE_IRQ_SET, (struct irq_request){.count = 0}, 1, "0 vectors with 1 eventfds");
	irq(DEVICE_IRQ_SET, (struct irq_request){.start = all, .count = 1}, 1, "overflow");
	irq(DEVICE_IRQ_SET, (struct irq_request){.start = all - 1, .count = 1}, 1, NULL);
	irq(DEVICE_IRQ_SET, (struct irq_request){.flags = 1, .count = 1}, 1, "unknown flags");

	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.start = 1, .count = 1}, 0, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "IRQ_CLEAR");
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.index = 1}, 0, NULL);
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.start = 1}, 0, "count 0 is for the whole interrupt");
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.start = all, .count = all}, 0, "overflow");
	irq(DEVICE_IRQ_CLEAR, (struct irq_request){.flags = 8}, 0, "unknown flags");

	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.count = 1}, 0, NULL);
	refused(&device_table, STATE_READY, REFUSAL_NOT_BOUND, "IRQ_UNMASK");
	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.count = 0}, 0, "no vectors");
	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.start = 2, .count = all - 1}, 0, "overflow");
	irq(DEVICE_IRQ_UNMASK, (struct irq_request){.flags = 8, .count = 1}, 0, "unknown flags");
}

/* ---- domain channel ---- */

static void array(
	uint16_t type, struct array_header header, const void *elements, size_t size, size_t fds, const char *why)
{
	make(type, &header, sizeof header, elements, size, fds);
	if (why)
		malformed(&domain_table, STATE_READY, why);
	else
		accepted(&domain_table, STATE_READY);
}

/* What all four array requests have in common. ELEMENT is one that is valid. */
static void array_counts(uint16_t type, const void *element, size_t size)
{
	uint8_t two[64];

	memcpy(two, element, size);
	memcpy(two + size, element, size);
	array(type, (struct array_header){.count = 1}, two, size, 0, NULL);
	array(type, (struct array_header){.count = 2}, two, 2 * size, 0, NULL);
	malformed(&domain_table, STATE_NEW, "before HELLO");
	array(type, (struct array_header){.count = 1}, two, 2 * size, 0, "does not match the length");
	array(type, (struct array_header){.count = 3}, two, 2 * size, 0, "does not match the length");
	array(type, (struct array_header){.count = 0}, NULL, 0, 0, "count 0");
	array(type, (struct array_header){.count = 0}, two, size, 0, "count 0");
	array(type, (struct array_header){.flags = 1, .count = 1}, two, size, 0, "unknown flags 0x1");
	/* The product is that length again in 32 bits. */
	array(type, (struct array_header){.count = (uint32_t)((1ULL << 32) / size + 1)}, two, size, 0,
		"does not match the length");
}

static void arrays_match_their_counts(void **state)
{
	const struct map_element map = {.flags = MAP_DEVICE_READ, .handle = 1, .length = 4096, .iova = IOVA_ANY};
	const struct unmap_element unmap = {.iova = 4096, .length = 4096};
	const struct forget_element forget = {.handle = 1};
	const struct alloc_element alloc = {.flags = MAP_DEVICE_WRITE, .length = 1};

	(void)state;
	array_counts(DOMAIN_MAP, &map, sizeof map);
	array_counts(DOMAIN_UNMAP, &unmap, sizeof unmap);
	array_counts(DOMAIN_FORGET, &forget, sizeof forget);
	array_counts(DOMAIN_ALLOC, &alloc, sizeof alloc);
}

static void map(struct map_element element, size_t fds, const char *why)
{
	const struct map_element good = {.flags = MAP_DEVICE_READ, .handle = 9, .length = 1, .iova = 0};
	struct map_element elements[2] = {good, element};

	array(DOMAIN_MAP, (struct array_header){.count = 2}, elements, sizeof elements, fds, why);
}

static void map_elements(void **state)
{
	const uint64_t all = UINT64_MAX;
	const uint32_t both = MAP_DEVICE_READ | MAP_DEVICE_WRITE;

	(void)state;
	map((struct map_element){.flags = both, .handle = 1, .length = 4096, .iova = IOVA_ANY}, 0, NULL);
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .length = 4096, .iova = 0}, 1, NULL);
	map((struct map_element){.flags = both | MAP_HUGE_PAGES, .handle = 1, .length = 1}, 0,
		"element 1: unknown flags 0x8");
	map((struct map_element){.flags = both | 0x80000000, .handle = 1, .length = 1}, 0, "unknown flags 0x80000000");
	map((struct map_element){.flags = 0, .handle = 1, .length = 1}, 0, "may neither read nor write");
	map((struct map_element){.flags = MAP_NEW_MEMORY, .length = 1}, 1, "may neither read nor write");
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .handle = 1, .length = 1}, 1,
		"new memory with a handle");
	map((struct map_element){.flags = both, .handle = 1, .length = 0}, 0, "empty");
	map((struct map_element){.flags = both, .handle = 1, .offset = all, .length = 1}, 0,
		"offset and length overflow");
	map((struct map_element){.flags = both, .handle = 1, .offset = all - 1, .length = 1}, 0, NULL);
	map((struct map_element){.flags = both, .handle = 1, .length = 2, .iova = all - 1}, 0,
		"IOVA and length overflow");
	map((struct map_element){.flags = both, .handle = 1, .length = 1, .iova = all - 1}, 0, NULL);
	map((struct map_element){.flags = both, .handle = 1, .length = all, .iova = IOVA_ANY}, 0, NULL);
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .length = 1}, 0,
		"1 elements bring memory, 0 fds came");
	map((struct map_element){.flags = both | MAP_NEW_MEMORY, .length = 1}, 2,
		"1 elements bring memory, 2 fds came");
	map((struct map_element){.flags = both, .handle = 1, .length = 1}, 1, "0 elements bring memory, 1 fds came");
}

static void unmap_elements(void **state)
{
	const struct unmap_element bad[] = {{0, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}};
	const struct unmap_element good[] = {{0, UINT64_MAX}, {UINT64_MAX - 1, 1}, {0, 1}};

	(void)state;
	array(DOMAIN_UNMAP, (struct array_header){.count = 3}, good, sizeof good, 0, NULL);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct unmap_element elements[2] = {good[0], bad[i]};

		array(DOMAIN_UNMAP, (struct array_header){.count = 2}, elements, sizeof elements, 0,
			"element 1: empty");
	}
}

static void forget_elements(void **state)
{
	/* Handle 0 is as unknown as any other that was not given. */
	const struct forget_element none[2] = {{1, 0}, {0, 0}}, padded[2] = {{1, 0}, {1, 1}};

	(void)state;
	array(DOMAIN_FORGET, (struct array_header){.count = 2}, none, sizeof none, 0, NULL);
	array(DOMAIN_FORGET, (struct array_header){.count = 2}, padded, sizeof padded, 0, "element 1: padding");
}

static void alloc(struct alloc_element element, const char *why)
{
	struct alloc_element elements[2] = {{.flags = MAP_DEVICE_READ, .length = 1}, element};

	array(DOMAIN_ALLOC, (struct array_header){.count = 2}, elements, sizeof elements, 0, why);
}

static void alloc_elements(void **state)
{
	static struct alloc_element many[FDSET_MAX + 1];

	(void)state;
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | MAP_HUGE_PAGES, .length = UINT64_MAX}, NULL);
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ | MAP_NEW_MEMORY, .length = 1},
		"element 1: unknown flags");
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ, .zero = 1, .length = 1},
		"element 1: unknown flags, padding");
	alloc((struct alloc_element){.flags = MAP_DEVICE_READ, .length = 0}, "no length");
	alloc((struct alloc_element){.flags = MAP_HUGE_PAGES, .length = 1}, "may neither read nor write");
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = (struct alloc_element){.flags = MAP_DEVICE_READ, .length = 1};
	array(DOMAIN_ALLOC, (struct array_header){.count = FDSET_MAX}, many, FDSET_MAX * sizeof many[0], 0, NULL);
	/* The reply could not carry that many descriptors. */
	array(DOMAIN_ALLOC, (struct array_header){.count = FDSET_MAX + 1}, many, sizeof many, 0,
		"254 elements, at most 253");
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
	malformed(&broker_table, STATE_READY, "is not the name of a PCI device");
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
	order((struct revoke_order){.reason = ENDED_POLICY, .name = "x"}, "is not the name of a PCI device");
	/* Reasons that nobody orders, or that do not exist. */
	order((struct revoke_order){.name = NAME}, "reason 0");
	order((struct revoke_order){.reason = ENDED_SESSION, .name = NAME}, "reason 4");
	order((struct revoke_order){.reason = ENDED_ERROR + 1, .name = NAME}, "reason 10");
	memset(request.words, 'x', sizeof request.words);
	order(request, "the words have no end");
	request.words[sizeof request.words - 1] = '\0';
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
	lease((struct lease_request){.name = "nothing"}, 1, "is not the name of a PCI device");
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
		cmocka_unit_test(hello_wants_a_range_of_versions),
		cmocka_unit_test(hello_is_answered),
		cmocka_unit_test(broker_pages),
		cmocka_unit_test(broker_check_and_open),
		cmocka_unit_test(broker_release),
		cmocka_unit_test(broker_explain),
		cmocka_unit_test(device_states),
		cmocka_unit_test(bind_has_no_flags),
		cmocka_unit_test(region_ranges),
		cmocka_unit_test(region_widths),
		cmocka_unit_test(region_write_has_its_data),
		cmocka_unit_test(program_operations),
		cmocka_unit_test(program_counts),
		cmocka_unit_test(program_timeouts),
		cmocka_unit_test(windows),
		cmocka_unit_test(irq_requests),
		cmocka_unit_test(arrays_match_their_counts),
		cmocka_unit_test(map_elements),
		cmocka_unit_test(unmap_elements),
		cmocka_unit_test(forget_elements),
		cmocka_unit_test(alloc_elements),
		cmocka_unit_test(revoke_requests),
		cmocka_unit_test(revoke_orders),
		cmocka_unit_test(lease_requests),
		cmocka_unit_test(query_requests),
		cmocka_unit_test(lease_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
