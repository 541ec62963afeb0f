/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "message.h"
#include "policy/policy.h"
#include "policy/policy_key.h"
#include "policy/policy_text.h"
#include "policy/policy_unit.h"
#include "round_trip.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Policies: which rule decides, and why. */

/* ---- what is decided about ---- */

static const struct host_device nvme = {"0000:01:00.0", "nvme", 1, 0x1b36, 0x0010, 0x010802, "", false, false};
static const struct host_device nic = {"0000:02:00.1", "e1000", 2, 0x8086, 0x100e, 0x020000, "", false, false};

static const struct host_device capitals = {"0000:3b:0a.0", "", 3, 0x8086, 0x100e, 0x020000, "", false, false};

static gid_t alices_groups[] = {100, 44};
static char alices_unit[] = "spdk@3.service";
static const struct peer alice = {.uid = 1001,
	.owner = 1001,
	.gid = 1001,
	.pid = 42,
	.groups_count = 2,
	.groups = alices_groups,
	.unit = alices_unit};
static const struct peer bob = {.uid = 1002, .owner = 1002, .gid = 1002, .pid = 43};

static struct policy *read_policy(const char *text)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};

	assert_non_null(policy);
	if (policy_read(policy, "t.conf", text, &error) != 0)
		fail_msg("%s", error.text);
	/* The broker has the policy from another process. */
	if (round_trip_mistake(policy))
		fail_msg("%s", round_trip_mistake(policy));
	return policy;
}

/* The name of the rule that decides by the policy in TEXT; "": none. The verdict goes before it: "+a", "-b". */
static const char *decide(const char *text, const struct host_device *device, const struct peer *peer)
{
	static char answer[64];
	struct policy *policy = read_policy(text);
	const struct policy_rule *rule = policy_decide(policy, device, peer);

	snprintf(answer, sizeof answer, "%s%s",
		!rule					? ""
			: rule->verdict == POLICY_ALLOW ? "+"
							: "-",
		rule ? rule->name : "");
	policy_free(policy);
	return answer;
}

#define EXPECT(text, device, peer, answer) assert_string_equal(decide(text, &(device), &(peer)), answer)

/* ---- keys ---- */

static void address(void **state)
{
	(void)state;
	EXPECT("[allow a]\naddress = 0000:01:00.0\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = 0000:01:00.0\nuser = *\n", nic, alice, "");
	EXPECT("[allow a]\naddress = 0000:09:00.0 0000:02:00.1\nuser = *\n", nic, alice, "+a");
	EXPECT("[allow a]\naddress = *\nuser = *\n", nic, alice, "+a");
	/* As nvidia-smi, lspci, libvirt and sysfs write the address, and in any case of letters. */
	EXPECT("[allow a]\naddress = 00000000:01:00.0\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = 01:00.0\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = 0000:1:0.0\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = pci_0000_01_00_0\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = /sys/bus/pci/devices/0000:01:00.0/\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = 0000:3B:0A.0\nuser = *\n", capitals, alice, "+a");
	/* two lines of one key are one list */
	EXPECT("[allow a]\naddress = 0000:09:00.0\naddress = 0000:02:00.1\nuser = *\n", nic, alice, "+a");
}

static void id(void **state)
{
	(void)state;
	EXPECT("[allow a]\nid = 1b36:0010\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nid = 1B36:10\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nid = 1b36:0011\nuser = *\n", nvme, alice, "");
	EXPECT("[allow a]\nid = 8086:*\nuser = *\n", nic, alice, "+a");
	EXPECT("[allow a]\nid = 8086:*\nuser = *\n", nvme, alice, "");
	EXPECT("[allow a]\nid = *:0010\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nid = *:*\nuser = *\n", nvme, alice, "+a");
}

static void class_prefix(void **state)
{
	(void)state;
	EXPECT("[allow a]\nclass = 01\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = 0108\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = 010802\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = 0106\nuser = *\n", nvme, alice, "");
	EXPECT("[allow a]\nclass = 0106 0200\nuser = *\n", nic, alice, "+a");
	EXPECT("[allow a]\nclass = *\nuser = *\n", nic, alice, "+a");
}

static void user(void **state)
{
	static const struct peer root = {0};

	(void)state;
	EXPECT("[allow a]\nclass = *\nuser = 1001\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = *\nuser = 1001\n", nvme, bob, "");
	EXPECT("[allow a]\nclass = *\nuser = 7 1002\n", nvme, bob, "+a");
	EXPECT("[allow a]\nclass = *\nuser = root\n", nvme, root, "+a");
	EXPECT("[allow a]\nclass = *\nuser = root\n", nvme, bob, "");
	EXPECT("[allow a]\nclass = *\nuser = *\n", nvme, bob, "+a");
	/* A name that nobody has fits nobody, alone or beside others. */
	EXPECT("[allow a]\nclass = *\nuser = no-such-user\n", nvme, bob, "");
	EXPECT("[allow a]\nclass = *\nuser = no-such-user\n[allow b]\nclass = *\nuser = 1002\n", nvme, bob, "+b");
	EXPECT("[allow a]\nclass = *\nuser = no-such-user 1002\n", nvme, bob, "+a");
	EXPECT("[allow a]\nclass = *\nuser = 1002\ngroup = no-such-group\n", nvme, bob, "");
}

static void group(void **state)
{
	(void)state;
	EXPECT("[allow a]\nclass = *\ngroup = 44\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = *\ngroup = 1002\n", nvme, bob, "+a");
	EXPECT("[allow a]\nclass = *\ngroup = 44\n", nvme, bob, "");
	EXPECT("[allow a]\nclass = *\ngroup = video\n", nvme, alice, "+a"); /* 44 on Debian */
	EXPECT("[allow a]\nclass = *\ngroup = *\n", nvme, bob, "+a");
}

static void unit(void **state)
{
	(void)state;
	EXPECT("[allow a]\nclass = *\nunit = spdk@*.service\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = *\nunit = spdk@[12].service\n", nvme, alice, "");
	EXPECT("[allow a]\nclass = *\nunit = x.service spdk@3.service\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = *\nunit = spdk@*.service\n", nvme, bob, "");
	/* "any unit" wants to know one */
	EXPECT("[allow a]\nclass = *\nunit = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = *\nunit = *\n", nvme, bob, "");
}

static void people_must_all_fit(void **state)
{
	(void)state;
	EXPECT("[allow a]\nclass = *\nuser = 1001\ngroup = 44\nunit = spdk@*\n", nvme, alice, "+a");
	EXPECT("[allow a]\nclass = *\nuser = 1002\ngroup = 44\nunit = spdk@*\n", nvme, alice, "");
	EXPECT("[allow a]\nclass = *\nuser = 1001\ngroup = 45\nunit = spdk@*\n", nvme, alice, "");
	EXPECT("[allow a]\nclass = *\nuser = 1001\ngroup = 44\nunit = other.service\n", nvme, alice, "");
}

static void rebind(void **state)
{
	struct policy *policy = read_policy("[allow a]\nclass = *\nuser = *\n"
					    "[allow b]\nclass = *\nuser = *\nrebind = yes\nin-use = take\n"
					    "[allow c]\nclass = *\nuser = *\nrebind = no\nin-use = refuse\n");

	(void)state;
	assert_int_equal(policy->count, 3);
	assert_false(policy->rules[0].rebind);
	assert_true(policy->rules[1].rebind);
	assert_false(policy->rules[2].rebind);
	/* What the host uses is taken by the rule's own word alone. */
	assert_false(policy->rules[0].take_in_use);
	assert_true(policy->rules[1].take_in_use);
	assert_false(policy->rules[2].take_in_use);
	policy_free(policy);
}

/* What a rule with these LINES says in numbers. What it points to is gone. */
static struct policy_rule numbers_of(const char *lines)
{
	struct policy_rule found;
	struct policy *policy;
	char text[512];

	snprintf(text, sizeof text, "[allow a]\nclass = *\nuser = *\n%s", lines);
	policy = read_policy(text);
	found = policy->rules[0];
	policy_free(policy);
	return found;
}

/* ---- what becomes of devices that were not reset ---- */

static struct reset_policy reset_of(const char *lines)
{
	return numbers_of(lines).reset;
}

static void reset_keys_are_read(void **state)
{
	struct reset_policy reset = reset_of("");

	(void)state;
	assert_int_equal(reset.need, RESET_REQUIRED);
	assert_int_equal(reset_of("reset = required\n").need, RESET_REQUIRED);
	assert_int_equal(reset_of("reset = same-user\n").need, RESET_SAME_USER);
	assert_int_equal(reset_of("reset = optional\n").need, RESET_OPTIONAL);
	assert_int_equal(reset_of("reset = optional\nreset = same-user\n").need, RESET_SAME_USER);
}

static void settle_keys_are_read(void **state)
{
	static const struct {
		const char *lines;
		uint64_t us;
	} times[] = {
		{"reset = optional\n", SETTLE_US},
		{"reset = same-user\n", 0},
		{"reset = same-user\nsettle = 1s\n", 1000000},
		{"reset = optional\nsettle = 500ms\n", 500000},
		{"settle = 2s\nreset = optional\n", 2000000},
		{"reset = optional\nsettle = 5min\n", 300000000},
		{"reset = optional\nsettle = 0ms\n", 0},
		{"reset = optional\nsettle = 999999999min\n", 59999999940000000},
		{"reset = optional\nsettle = 1s\nsettle = 2s\n", 2000000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		struct reset_policy reset = reset_of(times[i].lines);

		assert_true(policy_settle(&reset) == times[i].us);
	}
}

/* ---- numbers and times ---- */

/* The first rule of TEXT, for numbers to be looked at; the caller frees the policy. */
static const struct policy_rule *first_rule(const char *text, struct policy **ret_policy)
{
	*ret_policy = read_policy(text);
	return &(*ret_policy)->rules[0];
}

static void numbers_of_rules(void **state)
{
	struct policy *policy;
	const struct policy_rule *rule = first_rule("[allow a]\nclass = *\nuser = *\n", &policy);

	(void)state;
	assert_true(
		rule->devices == POLICY_UNSET && rule->devices_per_unit == POLICY_UNSET && rule->lease_time_us == 0);
	assert_false(rule->direct);
	policy_free(policy);
	rule = first_rule("[allow a]\nclass = *\nuser = *\ndevices = 2\ndevices-per-unit = 0\nlease-time = 30min\n"
			  "access = split\n",
		&policy);
	assert_int_equal(rule->devices, 2);
	assert_int_equal(rule->devices_per_unit, 0);
	assert_int_equal(rule->lease_time_us, 1800 * UINT64_C(1000000));
	assert_false(rule->direct);
	policy_free(policy);
	rule = first_rule("[allow a]\nclass = *\nuser = *\naccess = direct\n", &policy);
	assert_true(rule->direct);
	policy_free(policy);
}

static void limits_of_users(void **state)
{
	static const char text[] = "[limits batch]\nuser = 1001\nsessions = 3\ndevices = 1\nopens-per-minute = 6\n"
				   "[allow a]\nclass = *\nuser = *\n"
				   "[limits all]\nuser = *\nconnections-per-minute = 1000000\n"
				   "[limits late]\nuser = 1002\nsessions = 0\n";
	struct policy *policy = read_policy(text);
	const struct policy_rule *one = policy_limits(policy, 1001), *two = policy_limits(policy, 1002);

	(void)state;
	assert_string_equal(one->name, "batch");
	assert_int_equal(one->sessions, 3);
	assert_int_equal(one->devices, 1);
	assert_int_equal(one->opens_per_minute, 6);
	assert_true(one->connections_per_minute == POLICY_UNSET);
	/* the first that fits, alone */
	assert_string_equal(two->name, "all");
	assert_true(two->sessions == POLICY_UNSET);
	assert_int_equal(two->connections_per_minute, 1000000);
	/* they decide about no device */
	assert_string_equal(policy_decide(policy, &nvme, &alice)->name, "a");
	policy_free(policy);
	policy = read_policy("[limits a]\nuser = 7\n");
	assert_null(policy_limits(policy, 1001));
	assert_null(policy_decide(policy, &nvme, &alice));
	policy_free(policy);
}

/* ---- why a rule does not fit ---- */

static const char *misfit(const char *text, const struct peer *peer)
{
	static char why[256];
	struct policy *policy = read_policy(text);
	const char *answer = policy_misfit(&policy->rules[0], &nvme, peer, why, sizeof why);

	policy_free(policy);
	return answer ? answer : "it fits";
}

static void each_misfit_is_named(void **state)
{
	(void)state;
	assert_string_equal(misfit("[allow a]\nclass = 02\nuser = 7\n", &alice),
		"0000:01:00.0 (1b36:0010, class 010802) is none of its devices");
	assert_string_equal(misfit("[allow a]\nclass = 01\nuser = 7\n", &alice), "uid 1001 is none of its users");
	assert_string_equal(misfit("[allow a]\nclass = 01\ngroup = 7\n", &alice), "uid 1001 is in none of its groups");
	assert_string_equal(misfit("[allow a]\nclass = 01\nuser = no-such-user\n", &alice),
		"uid 1001 is none of its users; \"no-such-user\" was unknown when the files were read "
		"('systemctl reload vfio-broker' looks again)");
	assert_string_equal(
		misfit("[allow a]\nclass = 01\nunit = x.service\n", &alice), "spdk@3.service is none of its units");
	assert_string_equal(misfit("[allow a]\nclass = 01\nunit = x.service\n", &bob),
		"it is for units, and the caller's is not known");
	assert_string_equal(misfit("[deny a]\nclass = 01\nunit = x.service\n", &bob), "it fits");
	assert_string_equal(
		misfit("[allow a]\nclass = 01\nuser = 1001\ngroup = 44\nunit = spdk@*\n", &alice), "it fits");
}

/* After renumbering, another device has the address: the id is another, too. */
static void device_keys_must_all_fit(void **state)
{
	static const struct host_device renumbered = {
		"0000:01:00.0", "e1000", 2, 0x8086, 0x100e, 0x020000, "", false, false};

	(void)state;
	EXPECT("[allow a]\naddress = 0000:01:00.0\nid = 1b36:0010\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\naddress = 0000:01:00.0\nid = 1b36:0010\nuser = *\n", renumbered, alice, "");
	EXPECT("[allow a]\naddress = 0000:01:00.0\nid = 1b36:0010\nuser = *\n", nic, alice, "");
	EXPECT("[allow a]\naddress = 0000:01:00.0\nclass = 0108\nuser = *\n", renumbered, alice, "");
	EXPECT("[allow a]\nid = 1b36:*\nclass = 0106 0108\nuser = *\n", nvme, alice, "+a");
	EXPECT("[allow a]\nid = 1b36:*\nclass = 0106\nuser = *\n", nvme, alice, "");
	/* the words of a key are alternatives, as ever */
	EXPECT("[allow a]\naddress = 0000:09:00.0 0000:01:00.0\nid = 1:2 1b36:10\nclass = 01\nuser = *\n", nvme, alice,
		"+a");
	assert_string_equal(misfit("[allow a]\naddress = 0000:01:00.0\nid = 1:2\nuser = *\n", &alice),
		"0000:01:00.0 (1b36:0010, class 010802) is none of its devices: the rule has another id");
	assert_string_equal(misfit("[allow a]\naddress = 0000:09:00.0\nclass = 01\nuser = *\n", &alice),
		"0000:01:00.0 (1b36:0010, class 010802) is none of its devices: the rule has another address");
}

/* What a refusal has between quotes is a line that does what it says. */
static void advice_can_be_pasted(void **state)
{
	static const char *const lines[] = {
		"rebind = yes", "in-use = take", "access = direct", "reset = same-user", "reset = optional"};
	char text[256], buffer[POLICY_ADVICE_SIZE], expected[128];

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct policy *policy = read_policy("# t\n[allow a]\nclass = *\nuser = *\nrebind = yes\n");
		struct policy_rule *rule;

		snprintf(expected, sizeof expected, "add \"%s\" to rule \"a\" (t.conf:2)", lines[i]);
		assert_string_equal(policy_advice(&policy->rules[0], lines[i], buffer), expected);
		policy_free(policy);
		snprintf(text, sizeof text, "[allow a]\nclass = *\nuser = *\nrebind = yes\n%s\n", lines[i]);
		policy = read_policy(text);
		rule = &policy->rules[0];
		assert_int_equal(rule->take_in_use + rule->direct + (rule->reset.need != RESET_REQUIRED), i > 0);
		policy_free(policy);
	}
}

/* ---- rules as text again ---- */

struct text_sink {
	struct policy_sink sink;
	char text[2048];
};

static void on_line(struct policy_sink *sink, const char *text)
{
	struct text_sink *to = (struct text_sink *)sink;

	strncat(to->text, text, sizeof to->text - strlen(to->text) - 2);
	strcat(to->text, "\n");
}

static const char *printed(const struct policy_rule *rule)
{
	static struct text_sink sink;

	sink = (struct text_sink){.sink = {on_line}};
	policy_key_print(rule, &sink.sink);
	return sink.text;
}

static void rules_are_printed(void **state)
{
	static const char rule[] =
		"address = 0000:01:00.0\naddress = *\nid = 1b36:*\nclass = 0108\nuser = *\nuser = 7\n"
		"user = 0 ; root\ngroup = 44\nunit = spdk@*.service\nrebind = yes\ndevices = 2\n"
		"devices-per-unit = 1\nlease-time = 90s\nreset = same-user\nsettle = 500ms\nwindows = 3\n"
		"window-size = 64K\nwindow-range = 2\nwindow-range = 0:0x1000-0x1fff\nmappings = 40\n";
	static const char limits[] = "user = 7\ndevices = 5\nsessions = 9\nopens-per-minute = 6\n"
				     "connections-per-minute = 60\n";
	char text[2048];
	struct policy *policy;

	(void)state;
	/* what is printed says the same as what was read: so it says itself */
	snprintf(text, sizeof text, "[allow a]\n%s", rule);
	assert_non_null(strstr(text, "user = 0 ; root"));
	memcpy(strstr(text, "user = 0 ; root"), "user = root    ", 15);
	assert_string_equal(printed(first_rule(text, &policy)), rule);
	policy_free(policy);
	snprintf(text, sizeof text, "[limits a]\n%s", limits);
	assert_string_equal(printed(first_rule(text, &policy)), limits);
	policy_free(policy);
	/* what is usual is not printed */
	assert_string_equal(printed(first_rule("[allow a]\nclass = *\nuser = *\n", &policy)), "class = *\nuser = *\n");
	policy_free(policy);
}

/* ---- register windows ---- */

static struct window_limits limits(const char *lines)
{
	return numbers_of(lines).windows;
}

static void windows_by_default(void **state)
{
	const struct window_limits found = limits("");

	(void)state;
	assert_int_equal(WINDOWS_PER_LEASE, 64);
	assert_int_equal(found.count, WINDOWS_PER_LEASE);
	assert_true(found.size == UINT64_MAX);
	assert_int_equal(found.range_count, 0);
}

static void windows_count(void **state)
{
	(void)state;
	assert_int_equal(limits("windows = 4\n").count, 4);
	assert_int_equal(limits("windows = 0\n").count, 0);
	assert_int_equal(limits("windows = 4294967294\n").count, UINT32_MAX - 1);
	assert_int_equal(limits("windows = 010\n").count, 10);
	/* the last line counts, as for rebind */
	assert_int_equal(limits("windows = 4\nwindows = 6\n").count, 6);
	/* and the rest is as it was */
	assert_true(limits("windows = 4\n").size == UINT64_MAX);
}

static void window_sizes(void **state)
{
	static const struct {
		const char *line;
		uint64_t size;
	} sizes[] = {
		{"window-size = 0\n", 0},
		{"window-size = 4096\n", 4096},
		{"window-size = 0x1000\n", 4096},
		{"window-size = 0xAbC\n", 0xabc},
		{"window-size = 64K\n", 65536},
		{"window-size = 0x10K\n", 16384},
		{"window-size = 3M\n", 3145728},
		{"window-size = 2G\n", UINT64_C(2147483648)},
		{"window-size = 17179869183G\n", UINT64_MAX >> 30 << 30},
		{"window-size = 18446744073709551615\n", UINT64_MAX},
		{"window-size = 0xffffffffffffffff\n", UINT64_MAX},
		{"window-size = 010\n", 10},
		{"window-size = 1K\nwindow-size = 3K\n", 3072},
	};

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		if (limits(sizes[i].line).size != sizes[i].size)
			fail_msg("%s", sizes[i].line);
	}
	assert_int_equal(limits("window-size = 64K\n").count, WINDOWS_PER_LEASE);
}

static void window_range_is(const char *word, uint32_t region, uint64_t first, uint64_t last)
{
	struct window_limits found;
	char line[128];

	snprintf(line, sizeof line, "window-range = %s\n", word);
	found = limits(line);
	assert_int_equal(found.range_count, 1);
	assert_int_equal(found.ranges[0].region, region);
	assert_int_equal(found.ranges[0].zero, 0);
	assert_true(found.ranges[0].first == first && found.ranges[0].last == last);
}

static void window_ranges(void **state)
{
	struct window_limits found;

	(void)state;
	for (uint32_t bar = 0; bar < 6; bar++)
		window_range_is((char[]){(char)('0' + bar), '\0'}, bar, 0, UINT64_MAX);
	window_range_is("0:0x1000-0x1fff", 0, 0x1000, 0x1fff);
	window_range_is("5:4096-8191", 5, 4096, 8191);
	window_range_is("3:0-4095", 3, 0, 4095);
	window_range_is("3:8192-0xffffffffffffffff", 3, 8192, UINT64_MAX);
	/* several words, several lines: one list */
	found = limits("window-range = 0:0x1000-0x1fff 2\nwindow-range = 0:0x4000-0x4fff\n");
	assert_int_equal(found.range_count, 3);
	assert_int_equal(found.ranges[0].last, 0x1fff);
	assert_int_equal(found.ranges[1].region, 2);
	assert_int_equal(found.ranges[2].first, 0x4000);
	/* what is not used is zero, as LEASE wants it */
	assert_int_equal(found.ranges[3].last, 0);
	assert_int_equal(limits("window-range = 0 1 2 3 4 5 0 1\n").range_count, WINDOW_RANGES_MAX);
}

/* ---- rules ---- */

static void first_rule_decides(void **state)
{
	static const char text[] = "[deny lab]\nclass = 0108\nuser = 1001\n"
				   "[allow all]\nclass = *\nuser = *\n"
				   "[deny late]\nclass = *\nuser = *\n";

	(void)state;
	EXPECT(text, nvme, alice, "-lab");
	EXPECT(text, nic, alice, "+all");
	EXPECT(text, nvme, bob, "+all");
	EXPECT("", nvme, bob, "");
}

/* Written twice, even under one name, they are two: alice must not get what bob was given, nor bob what alice was. */
static void rules_of_one_name_stay_apart(void **state)
{
	static const char text[] = "[allow a]\naddress = 0000:01:00.0\nuser = 1001\n"
				   "[allow a]\naddress = 0000:02:00.1\nuser = 1002\n";
	/* names that differ late */
	static const char long_names[] =
		"[allow 0123456789012345678901234567890123456789012345678901234567890A]\nclass = 01\nuser = 1001\n"
		"[deny  0123456789012345678901234567890123456789012345678901234567890B]\nclass = 02\nuser = 1001\n"
		"[allow 0123456789012345678901234567890123456789012345678901234567890C]\nclass = 02\nuser = 1002\n"
		"[allow 0123456789012345678901234567890123456789012345678901234567890D]\nclass = 01\nuser = 1003\n";

	(void)state;
	EXPECT(text, nvme, alice, "+a");
	EXPECT(text, nic, alice, "");
	EXPECT(text, nvme, bob, "");
	EXPECT(text, nic, bob, "+a");
	EXPECT(long_names, nvme, bob, "");
}

static void line_of_the_rule(void **state)
{
	struct policy *policy = read_policy("# comment\n\n[allow a]\n; another\nclass = 01\nuser = *\n[deny b]\n"
					    "class = 02 ; inline\nuser = *");

	(void)state;
	assert_int_equal(policy->count, 2);
	assert_string_equal(policy->rules[0].file, "t.conf");
	assert_int_equal(policy->rules[0].line, 3);
	assert_int_equal(policy->rules[1].line, 7);
	policy_free(policy);
}

/* Some like to indent what belongs to a section. */
static void indented_lines(void **state)
{
	static const char text[] = "[allow a]\n  class = 01\n  unit = spdk@*\n\tuser = 1001\n  [deny b]\n  class = *\n"
				   "  user = *\n";

	(void)state;
	EXPECT(text, nvme, alice, "+a");
	EXPECT(text, nvme, bob, "-b");
	EXPECT(text, nic, alice, "-b");
}

/*
 * A unit is unknown when the process that connected has died since: whoever holds its socket must not get past
 * a rule that denies its unit.
 */
static void deny_by_unit_fits_the_unknown(void **state)
{
	static const char text[] = "[deny a]\nclass = *\nunit = guest@*.service\n[allow b]\nclass = *\nuser = *\n";

	(void)state;
	EXPECT(text, nvme, bob, "-a");
	EXPECT(text, nvme, alice, "+b");
}

/* systemd-escape(1) gives units such names. */
static void units_have_backslashes(void **state)
{
	static char escaped[] = "spdk@a\\x2db.service";
	const struct peer peer = {.uid = 1001, .owner = 1001, .unit = escaped};

	(void)state;
	EXPECT("[deny a]\nclass = *\nunit = spdk@a\\x2db.service\n[allow b]\nclass = *\nuser = *\n", nvme, peer, "-a");
	EXPECT("[deny a]\nclass = *\nunit = spdk@a\\x2d*\n[allow b]\nclass = *\nuser = *\n", nvme, peer, "-a");
}

static const char *mistake_in_deny(const char *unit)
{
	static struct policy_error error;
	struct policy *policy = calloc(1, sizeof *policy);
	char text[400];
	int r;

	assert_non_null(policy);
	snprintf(text, sizeof text, "[deny a]\nclass = *\nunit = %s\n", unit);
	error = (struct policy_error){0};
	r = policy_read(policy, "t.conf", text, &error);
	policy_free(policy);
	return r < 0 ? error.text : NULL;
}

/* Whoever writes a rule that denies wants somebody denied. */
static void deny_that_can_never_fit_is_a_mistake(void **state)
{
	static const char *const good[] = {"a.service", "a@*", "*", "a@?.service", "a.*", "*[st]ervice",
		"session-?.scope", "session-[[:digit:]]*.scope", "a.s[ce]*e", "a[]b].scope", "a[x:].scope", "?????????",
		"*****.*****", "*-*.sc*p?", "a@b@.service", "[!a]*", "a@[.]service", "a.t*"};
	static const char *const bad[] = {"a", "service", "spdk@1", "a@*.servce", "*.timer", "a@[12]x", "[ab]ervice",
		"*[ab]ervice", ".service", "@a.service", "??", "a.scope?", "?.?"};
	static const char *const malformed[] = {"a[", "a[]", "a[!]", "a].scope", "!a.scope", "a[[]b", "a[z-a].scope",
		"a[[:digit:].scope", "a,b.scope", "[[:blank:]]*"};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_null(mistake_in_deny(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(strstr(mistake_in_deny(bad[i]), "no unit with processes has such a name"));
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
		assert_non_null(strstr(mistake_in_deny(malformed[i]), "not a unit name or pattern"));
	/* No name has more than 255 characters. */
	snprintf(longest, sizeof longest, "%0248d.service", 0);
	assert_non_null(policy_unit_mistake(longest));
	assert_null(policy_unit_mistake(longest + 1));
}

/* What a user may not have, no subordinate uid of the user's may; what a user may have, a subordinate uid may not. */
static void deny_by_user_fits_subordinate_uids(void **state)
{
	static const char text[] = "[deny a]\nclass = 01\nuser = 1001\n[allow b]\nclass = 02\nuser = 1001\n"
				   "[allow c]\nclass = 01\nuser = *\n";
	const struct peer hers = {.uid = 100001, .owner = 1001}, his = {.uid = 200001, .owner = 1002};

	(void)state;
	EXPECT(text, nvme, hers, "-a");
	EXPECT(text, nic, hers, "");
	EXPECT(text, nvme, his, "+c");
}

/* ---- whose uids are (subuid(5)) ---- */

static void owners_of_subordinate_uids(void **state)
{
	static const char text[] = "1001:100000:65536\nroot:300000:65536\n1002:165536:10\nnobody-there:1:2\nnonsense\n"
				   "1003:5:x\n1004:0:3\n1005:120000:1\n";
	char path[] = "/tmp/broker_policy.XXXXXX";
	struct policy travelling = {0};
	struct owners owners = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
	close(fd);
	assert_int_equal(owners_read(&owners, path), 0);
	unlink(path);
	assert_int_equal(owners_find(&owners, 99999), 99999);
	assert_int_equal(owners_find(&owners, 100000), 1001);
	assert_int_equal(owners_find(&owners, 165535), 1001);
	assert_int_equal(owners_find(&owners, 165536), 1002);
	assert_int_equal(owners_find(&owners, 165546), 165546);
	assert_int_equal(owners_find(&owners, 300001), 300001);
	/* One range in another. */
	assert_int_equal(owners_find(&owners, 120000), 1005);
	assert_int_equal(owners_find(&owners, 130000), 1001);
	/* Root is nobody's. */
	assert_int_equal(owners_find(&owners, 0), 0);
	assert_int_equal(owners_find(&owners, 2), 1004);
	assert_int_equal(owners_find(&owners, UINT32_MAX), UINT32_MAX);
	travelling.owners = owners;
	assert_null(round_trip_mistake(&travelling));
	owners_clear(&owners);
	assert_int_equal(owners_read(&owners, path), 0);
	assert_int_equal(owners.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address),
		cmocka_unit_test(id),
		cmocka_unit_test(class_prefix),
		cmocka_unit_test(device_keys_must_all_fit),
		cmocka_unit_test(user),
		cmocka_unit_test(group),
		cmocka_unit_test(unit),
		cmocka_unit_test(people_must_all_fit),
		cmocka_unit_test(rebind),
		cmocka_unit_test(reset_keys_are_read),
		cmocka_unit_test(settle_keys_are_read),
		cmocka_unit_test(numbers_of_rules),
		cmocka_unit_test(limits_of_users),
		cmocka_unit_test(each_misfit_is_named),
		cmocka_unit_test(advice_can_be_pasted),
		cmocka_unit_test(rules_are_printed),
		cmocka_unit_test(windows_by_default),
		cmocka_unit_test(windows_count),
		cmocka_unit_test(window_sizes),
		cmocka_unit_test(window_ranges),
		cmocka_unit_test(first_rule_decides),
		cmocka_unit_test(rules_of_one_name_stay_apart),
		cmocka_unit_test(line_of_the_rule),
		cmocka_unit_test(indented_lines),
		cmocka_unit_test(deny_by_unit_fits_the_unknown),
		cmocka_unit_test(units_have_backslashes),
		cmocka_unit_test(deny_that_can_never_fit_is_a_mistake),
		cmocka_unit_test(deny_by_user_fits_subordinate_uids),
		cmocka_unit_test(owners_of_subordinate_uids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
