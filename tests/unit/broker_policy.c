/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "policy/policy.h"
#include "policy/policy_files.h"
#include "policy/policy_key.h"
#include "policy/policy_text.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what is decided about ---- */

static const struct host_device nvme = {"0000:01:00.0", "nvme", 1, 0x1b36, 0x0010, 0x010802};
static const struct host_device nic = {"0000:02:00.1", "e1000", 2, 0x8086, 0x100e, 0x020000};

static gid_t alices_groups[] = {100, 44};
static char alices_unit[] = "spdk@3.service";
static const struct peer alice = {1001, 1001, 42, alices_groups, 2, alices_unit};
static const struct peer bob = {1002, 1002, 43, NULL, 0, NULL};

static struct policy *read_policy(const char *text)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};

	assert_non_null(policy);
	if (policy_read(policy, "t.conf", text, &error) != 0)
		fail_msg("%s", error.text);
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
	/* any of the three kinds is enough */
	EXPECT("[allow a]\nclass = 0106\nid = 1:2\naddress = 0000:01:00.0\nuser = *\n", nvme, alice, "+a");
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
	EXPECT("[allow a]\nclass = *\nuser = 1001\ngroup = 44\nunit = other\n", nvme, alice, "");
}

static void rebind(void **state)
{
	struct policy *policy = read_policy("[allow a]\nclass = *\nuser = *\n"
					    "[allow b]\nclass = *\nuser = *\nrebind = yes\n"
					    "[allow c]\nclass = *\nuser = *\nrebind = no\n");

	(void)state;
	assert_int_equal(policy->count, 3);
	assert_false(policy->rules[0].rebind);
	assert_true(policy->rules[1].rebind);
	assert_false(policy->rules[2].rebind);
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

static void resets(void **state)
{
	struct reset_policy reset = reset_of("");

	(void)state;
	assert_int_equal(reset.need, RESET_REQUIRED);
	assert_int_equal(reset_of("reset = required\n").need, RESET_REQUIRED);
	assert_int_equal(reset_of("reset = same-user\n").need, RESET_SAME_USER);
	assert_int_equal(reset_of("reset = optional\n").need, RESET_OPTIONAL);
	assert_int_equal(reset_of("reset = optional\nreset = same-user\n").need, RESET_SAME_USER);
}

static void settling(void **state)
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

static void misfits(void **state)
{
	(void)state;
	assert_string_equal(misfit("[allow a]\nclass = 02\nuser = 7\n", &alice),
		"0000:01:00.0 (1b36:0010, class 010802) is none of its devices");
	assert_string_equal(misfit("[allow a]\nclass = 01\nuser = 7\n", &alice), "uid 1001 is none of its users");
	assert_string_equal(misfit("[allow a]\nclass = 01\ngroup = 7\n", &alice), "uid 1001 is in none of its groups");
	assert_string_equal(
		misfit("[allow a]\nclass = 01\nunit = x.service\n", &alice), "spdk@3.service is none of its units");
	assert_string_equal(misfit("[allow a]\nclass = 01\nunit = x.service\n", &bob),
		"it is for units, and the caller's is not known");
	assert_string_equal(misfit("[deny a]\nclass = 01\nunit = x.service\n", &bob), "it fits");
	assert_string_equal(
		misfit("[allow a]\nclass = 01\nuser = 1001\ngroup = 44\nunit = spdk@*\n", &alice), "it fits");
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
	/* inih keeps the first 49 bytes of a section's name */
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

/* Some like to indent what belongs to a section; inih alone would take that for more of the line before. */
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

/* ---- mistakes: file, line and cause ---- */

static const struct mistake {
	const char *text;
	const char *error;
} mistakes[] = {
	{"[allow a]\nclass = 01\nusr = x\n", "t.conf:3:1: unknown key \"usr\""},
	{"[allow a]\naddress = 01:00.0\n", "t.conf:2:11: not a PCI address like 0000:01:00.0: \"01:00.0\""},
	{"[allow a]\naddress = 0000:01:00.0 0000:0G:00.0\n",
		"t.conf:2:24: not a PCI address like 0000:01:00.0: \"0000:0G:00.0\""},
	{"[allow a]\nid = 8086\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"8086\""},
	{"[allow a]\nid = 8086:\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"8086:\""},
	{"[allow a]\nid = :8086\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \":8086\""},
	{"[allow a]\nid = 80867:123\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"80867:123\""},
	{"[allow a]\nid = 808:12345\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"808:12345\""},
	{"[allow a]\nid = xx:yy\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"xx:yy\""},
	{"[allow a]\nid = 80*:1\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"80*:1\""},
	{"[allow a]\nclass = 0x0108\n", "t.conf:2:9: not leading digits of a PCI class like 0108: \"0x0108\""},
	{"[allow a]\nclass = 0108021\n", "t.conf:2:9: not leading digits of a PCI class like 0108: \"0108021\""},
	{"[allow a]\nuser = nobody-of-that-name\n", "t.conf:2:8: there is no user \"nobody-of-that-name\""},
	{"[allow a]\nuser = 4294967295\n", "t.conf:2:8: there is no user \"4294967295\""},
	{"[allow a]\nuser = 10x\n", "t.conf:2:8: there is no user \"10x\""},
	{"[allow a]\nuser = -1\n", "t.conf:2:8: there is no user \"-1\""},
	{"[allow a]\ngroup = no-such-group\n", "t.conf:2:9: there is no group \"no-such-group\""},
	{"[allow a]\nunit = a.service # b.service\n", "t.conf:2:18: not a unit name or pattern: \"#\""},
	{"[allow a]\nunit = [deny\n", "t.conf:2:8: not a unit name or pattern: \"[deny\""},
	{"[allow a]\nrebind = maybe\n", "t.conf:2:10: rebind is yes or no, not \"maybe\""},
	{"[allow a]\nreset = no\n", "t.conf:2:9: reset is required, same-user or optional, not \"no\""},
	{"[allow a]\nreset = Optional\n", "t.conf:2:9: reset is required, same-user or optional, not \"Optional\""},
	{"[allow a]\nreset = optional same-user\n", "t.conf:2:18: one value is enough, here is another: \"same-user\""},
	{"[allow a]\nsettle = 2\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"2\""},
	{"[allow a]\nsettle = s\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"s\""},
	{"[allow a]\nsettle = -1s\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"-1s\""},
	{"[allow a]\nsettle = 1.5s\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"1.5s\""},
	{"[allow a]\nsettle = 1w\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"1w\""},
	{"[allow a]\nsettle = 1sec\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"1sec\""},
	{"[allow a]\nsettle = 1234567890s\n",
		"t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"1234567890s\""},
	{"[allow a]\nsettle = 2 s\n", "t.conf:2:10: settle is a time like 500ms, 2s or 5min, not \"2\""},
	{"[allow a]\nclass = 01\nuser = *\nsettle = 2s\n",
		"t.conf:1:1: rule \"a\" has settle, which means nothing without reset = same-user or optional"},
	{"[allow a]\nclass =\n", "t.conf:2:8: no value for \"class\""},
	{"[allow a]\nclass = ; nothing\n", "t.conf:2:9: no value for \"class\""},
	{"class = 01\n", "t.conf:1:1: a key outside of any section: \"class\""},
	{"[alow a]\nclass = 01\n",
		"t.conf:1:1: a section is [allow NAME], [deny NAME] or [limits NAME], not \"alow a\""},
	{"[alow a]\n", "t.conf:1:1: a section is [allow NAME], [deny NAME] or [limits NAME], not \"alow a\""},
	{"[allow]\nclass = 01\n", "t.conf:1:1: a section is [allow NAME], [deny NAME] or [limits NAME], not \"allow\""},
	{"[allow ]\nclass = 01\n",
		"t.conf:1:1: a section is [allow NAME], [deny NAME] or [limits NAME], not \"allow \""},
	{"[allow a\nclass = 01\n", "t.conf:1:1: a section without its ] \"[allow a\""},
	{"[allow a] user = *\nclass = 01\n", "t.conf:1:11: nothing may follow a section, but here is \"user = *\""},
	{"[allow a]\nclass 01\n", "t.conf:2:1: neither [section] nor key = value"},
	{"\n[allow a]\nclass = 01\n", "t.conf:2:1: rule \"a\" lacks user, group or unit"},
	{"[allow a]\nuser = *\n", "t.conf:1:1: rule \"a\" lacks address, id or class"},
	{"[deny a]\n[allow b]\nuser = *\nclass = 01\n", "t.conf:1:1: rule \"a\" lacks address, id or class"},
	{"[allow a]\nwindows = -1\n", "t.conf:2:11: windows is a number, 0 for none, not \"-1\""},
	{"[allow a]\nwindows = +1\n", "t.conf:2:11: windows is a number, 0 for none, not \"+1\""},
	{"[allow a]\nwindows = 4K\n", "t.conf:2:11: windows is a number, 0 for none, not \"4K\""},
	{"[allow a]\nwindows = 0x4\n", "t.conf:2:11: windows is a number, 0 for none, not \"0x4\""},
	{"[allow a]\nwindows = 4294967295\n", "t.conf:2:11: windows is a number, 0 for none, not \"4294967295\""},
	{"[allow a]\nwindows = 4294967296\n", "t.conf:2:11: windows is a number, 0 for none, not \"4294967296\""},
	{"[allow a]\nwindows = 99999999999999999999\n",
		"t.conf:2:11: windows is a number, 0 for none, not \"99999999999999999999\""},
	{"[allow a]\nwindows = *\n", "t.conf:2:11: windows is a number, 0 for none, not \"*\""},
	{"[allow a]\nwindows = all\n", "t.conf:2:11: windows is a number, 0 for none, not \"all\""},
	{"[allow a]\nwindows = yes\n", "t.conf:2:11: windows is a number, 0 for none, not \"yes\""},
	{"[allow a]\nwindows = 1.5\n", "t.conf:2:11: windows is a number, 0 for none, not \"1.5\""},
	{"[allow a]\nwindow-size = K\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"K\""},
	{"[allow a]\nwindow-size = -1\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"-1\""},
	{"[allow a]\nwindow-size = +1\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"+1\""},
	{"[allow a]\nwindow-size = 64k\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"64k\""},
	{"[allow a]\nwindow-size = 64KB\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"64KB\""},
	{"[allow a]\nwindow-size = 64Ki\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"64Ki\""},
	{"[allow a]\nwindow-size = 64T\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"64T\""},
	{"[allow a]\nwindow-size = 1.5M\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"1.5M\""},
	{"[allow a]\nwindow-size = 0x\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"0x\""},
	{"[allow a]\nwindow-size = 0xg\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"0xg\""},
	{"[allow a]\nwindow-size = x10\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"x10\""},
	{"[allow a]\nwindow-size = 18446744073709551616\n",
		"t.conf:2:15: window-size is a number of bytes like 64K, not \"18446744073709551616\""},
	{"[allow a]\nwindow-size = 17179869184G\n",
		"t.conf:2:15: window-size is a number of bytes like 64K, not \"17179869184G\""},
	{"[allow a]\nwindow-size = 0x40000000000000G\n",
		"t.conf:2:15: window-size is a number of bytes like 64K, not \"0x40000000000000G\""},
	{"[allow a]\nwindow-size = *\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"*\""},
	{"[allow a]\nwindow-size = none\n", "t.conf:2:15: window-size is a number of bytes like 64K, not \"none\""},
	{"[allow a]\nwindow-size = 64 K\n", "t.conf:2:18: one value is enough, here is another: \"K\""},
	{"[allow a]\nwindows = 4 5\n", "t.conf:2:13: one value is enough, here is another: \"5\""},
	{"[allow a]\nrebind = yes no\n", "t.conf:2:14: one value is enough, here is another: \"no\""},
	{"[allow a]\nwindow-range = 0:0x1000-0x10ff\n",
		"t.conf:2:16: a window-range begins and ends with a page (0x1000 bytes), unlike \"0:0x1000-0x10ff\""},
	{"[allow a]\nwindow-range = 0:1-0x1fff\n",
		"t.conf:2:16: a window-range begins and ends with a page (0x1000 bytes), unlike \"0:1-0x1fff\""},
	{"[allow a]\nwindow-range = 6\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \"6\""},
	{"[allow a]\nwindow-range = 9\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \"9\""},
	{"[allow a]\nwindow-range = x\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \"x\""},
	{"[allow a]\nwindow-range = *\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \"*\""},
	{"[allow a]\nwindow-range = -1\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \"-1\""},
	{"[allow a]\nwindow-range = :0-1\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \":0-1\""},
	{"[allow a]\nwindow-range = /0\n", "t.conf:2:16: window-range begins with a BAR, 0 to 5, unlike \"/0\""},
	{"[allow a]\nwindow-range = 00\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"00\""},
	{"[allow a]\nwindow-range = 0x1000-0x1fff\n",
		"t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0x1000-0x1fff\""},
	{"[allow a]\nwindow-range = 0:\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:\""},
	{"[allow a]\nwindow-range = 0:1\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1\""},
	{"[allow a]\nwindow-range = 0:1-\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1-\""},
	{"[allow a]\nwindow-range = 0:-1\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:-1\""},
	{"[allow a]\nwindow-range = 0:1--2\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1--2\""},
	{"[allow a]\nwindow-range = 0:2-1\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:2-1\""},
	{"[allow a]\nwindow-range = 0:1-2x\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1-2x\""},
	{"[allow a]\nwindow-range = 0:1K-2K\n",
		"t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1K-2K\""},
	{"[allow a]\nwindow-range = 0:1-2-3\n",
		"t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1-2-3\""},
	{"[allow a]\nwindow-range = 0:1-+2\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1-+2\""},
	{"[allow a]\nwindow-range = 0:0x-1\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:0x-1\""},
	{"[allow a]\nwindow-range = 0-1\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0-1\""},
	{"[allow a]\nwindow-range = 0:1-18446744073709551616\n",
		"t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1-18446744073709551616\""},
	{"[allow a]\nwindow-range = 0:1,2\n", "t.conf:2:16: not a window-range like 0:0x1000-0x1fff or 2: \"0:1,2\""},
	{"[allow a]\nwindow-range = 0 1 2 3 4 5 0 1 2:0-4095\n",
		"t.conf:2:32: eight window-ranges at most, too many with \"2:0-4095\""},
	{"[allow a]\nwindows =\n", "t.conf:2:10: no value for \"windows\""},
	{"[allow a]\nwindow-size =\n", "t.conf:2:14: no value for \"window-size\""},
	{"[allow a]\nwindow-range = ; none\n", "t.conf:2:16: no value for \"window-range\""},
	{"[allow a]\nwindow = 1\n", "t.conf:2:1: unknown key \"window\""},
	{"[allow a]\nwindow-range = 0 1 2 3\nwindow-range = 0 1 2 3\nwindow-range = 4\n",
		"t.conf:4:16: eight window-ranges at most, too many with \"4\""},
	{"[allow a]\ndevices = many\n", "t.conf:2:11: devices is a number, not \"many\""},
	{"[allow a]\nmappings = 4K\n", "t.conf:2:12: mappings is a number, not \"4K\""},
	{"[limits a]\nuser = *\nmappings = 4\n", "t.conf:3:1: a key of rules, not of limits: \"mappings\""},
	{"[allow a]\ndevices-per-unit = -1\n", "t.conf:2:20: devices-per-unit is a number, not \"-1\""},
	{"[allow a]\nlease-time = 30\n",
		"t.conf:2:14: lease-time is one second or more, like 90s, 30min, 8h or 7d, not \"30\""},
	{"[allow a]\nlease-time = 999ms\n",
		"t.conf:2:14: lease-time is one second or more, like 90s, 30min, 8h or 7d, not \"999ms\""},
	{"[allow a]\nlease-time = 999999999d\n",
		"t.conf:2:14: lease-time is one second or more, like 90s, 30min, 8h or 7d, not \"999999999d\""},
	{"[allow a]\nlease-time = 1h 30min\n", "t.conf:2:17: one value is enough, here is another: \"30min\""},
	{"[allow a]\naccess = none\n", "t.conf:2:10: access is split or direct, not \"none\""},
	{"[allow a]\nsessions = 1\n", "t.conf:2:1: a key of [limits NAME], not of rules: \"sessions\""},
	{"[limits a]\nrebind = yes\n", "t.conf:2:1: a key of rules, not of limits: \"rebind\""},
	{"[limits a]\ngroup = 1\n", "t.conf:2:1: a key of rules, not of limits: \"group\""},
	{"[limits a]\nsessions = x\n", "t.conf:2:12: sessions is a number, not \"x\""},
	{"[limits a]\nopens-per-minute = 0\n", "t.conf:2:20: opens-per-minute is a number, 1 to 1000000, not \"0\""},
	{"[limits a]\nconnections-per-minute = 1000001\n",
		"t.conf:2:26: connections-per-minute is a number, 1 to 1000000, not \"1000001\""},
	{"[limits a]\nsessions = 1\n", "t.conf:1:1: limits \"a\" lacks user"},
	{"[limits]\nsessions = 1\n",
		"t.conf:1:1: a section is [allow NAME], [deny NAME] or [limits NAME], not \"limits\""},
	/* columns count from the start of the line, in bytes */
	{"  [alow a]\n", "t.conf:1:3: a section is [allow NAME], [deny NAME] or [limits NAME], not \"alow a\""},
	{" [allow a] x\n", "t.conf:1:12: nothing may follow a section, but here is \"x\""},
	{"[allow a]\n\t usr = x\n", "t.conf:2:3: unknown key \"usr\""},
	{"[allow a]\n \tclass:\t01 \t 02x ; or so\n",
		"t.conf:2:15: not leading digits of a PCI class like 0108: \"02x\""},
	{"[allow a]\nclass=0x\r\n", "t.conf:2:7: not leading digits of a PCI class like 0108: \"0x\""},
	/* what a file says is quoted before it gets to a log */
	{"[allow a]\nus\033r = x\n", "t.conf:2:1: unknown key \"us\\x1br\""},
};

static void mistakes_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
		struct policy *policy = calloc(1, sizeof *policy);
		struct policy_error error = {0};

		assert_non_null(policy);
		if (policy_read(policy, "t.conf", mistakes[i].text, &error) >= 0)
			fail_msg("no mistake found in \"%s\"", mistakes[i].text);
		assert_string_equal(error.text, mistakes[i].error);
		policy_free(policy);
	}
}

static void long_line(void **state)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};
	char text[600] = "[allow a]\nclass = 01\nuser = ";

	(void)state;
	assert_non_null(policy);
	memset(text + strlen(text), '1', 500);
	assert_int_equal(policy_read(policy, "t.conf", text, &error), -EINVAL);
	assert_non_null(strstr(error.text, "t.conf:3:1: line too long, it begins with \"user = 1111"));
	policy_free(policy);
}

/* ---- directories ---- */

static char base[64];

static void write_file(const char *path, const char *text, size_t length)
{
	char full[256];
	int fd;

	snprintf(full, sizeof full, "%s/%s", base, path);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	close(fd);
}

static void put(const char *path, const char *rule)
{
	char text[128];
	int length = snprintf(text, sizeof text, "[allow %s]\nclass = *\nuser = *\n", rule);

	write_file(path, text, (size_t)length);
}

static int make_directories(void **state)
{
	char path[128];

	(void)state;
	strcpy(base, "/tmp/broker_policy.XXXXXX");
	if (!mkdtemp(base))
		return -1;
	for (const char *name = "abc"; *name; name++) {
		snprintf(path, sizeof path, "%s/%c", base, *name);
		if (mkdir(path, 0700) < 0)
			return -1;
	}
	return 0;
}

static int remove_directories(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", base);
	return system(command);
}

static int load(struct policy **ret_policy, struct policy_error *error)
{
	char a[72], b[72], missing[72];
	const char *const directories[] = {a, missing, b, NULL};

	snprintf(a, sizeof a, "%s/a", base);
	snprintf(b, sizeof b, "%s/b", base);
	snprintf(missing, sizeof missing, "%s/missing", base);
	return policy_load(directories, ret_policy, error);
}

/* The names of all rules, in order. */
static const char *loaded(void)
{
	static char names[128];
	struct policy_error error = {0};
	struct policy *policy;

	if (load(&policy, &error) != 0)
		fail_msg("%s", error.text);
	names[0] = '\0';
	for (size_t i = 0; i < policy->count; i++) {
		strncat(names, policy->rules[i].name, sizeof names - strlen(names) - 2);
		strcat(names, " ");
	}
	policy_free(policy);
	return names;
}

static void files_are_sorted_by_name(void **state)
{
	(void)state;
	assert_string_equal(loaded(), "");
	put("b/10-x.conf", "b10");
	put("a/20-x.conf", "a20");
	put("b/30-x.conf", "b30");
	put("a/README", "no");
	put("a/.hidden.conf", "no");
	put("a/x.conf.bak", "no");
	assert_string_equal(loaded(), "b10 a20 b30 ");
}

static void files_hide_files(void **state)
{
	char path[128];

	(void)state;
	put("b/10-x.conf", "b10");
	put("a/10-x.conf", "a10");
	put("b/20-x.conf", "b20");
	put("b/30-x.conf", "b30");
	put("b/40-x.conf", "b40");
	assert_string_equal(loaded(), "a10 b20 b30 b40 ");
	write_file("a/20-x.conf", "", 0);
	snprintf(path, sizeof path, "%s/a/30-x.conf", base);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_string_equal(loaded(), "a10 b40 ");
	/* a link to a file is that file */
	snprintf(path, sizeof path, "%s/a/40-x.conf", base);
	assert_int_equal(symlink("../c/elsewhere", path), 0);
	put("c/elsewhere", "c");
	assert_string_equal(loaded(), "a10 c ");
}

static void expect_load_error(int result, const char *cause)
{
	struct policy_error error = {0};
	struct policy *policy;

	assert_int_equal(load(&policy, &error), result);
	if (!strstr(error.text, cause))
		fail_msg("\"%s\" does not say \"%s\"", error.text, cause);
}

/* One file that cannot be used is enough: what it may have denied is not known. */
static void files_that_cannot_be_read(void **state)
{
	static const char nul[] = "[allow a]\nclass = *\nuser = *\n\0[deny b]\nclass = *\nuser = *\n";
	char path[128];

	(void)state;
	put("a/10-x.conf", "a10");
	snprintf(path, sizeof path, "%s/b/20-x.conf", base);
	assert_int_equal(symlink("nowhere", path), 0);
	expect_load_error(-ENOENT, "/b/20-x.conf: No such file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_load_error(-EISDIR, "/b/20-x.conf: Is a directory");
	assert_int_equal(rmdir(path), 0);
	write_file("b/20-x.conf", nul, sizeof nul - 1);
	expect_load_error(-EBADMSG, "/b/20-x.conf: not a text: it holds a NUL");
	write_file("b/20-x.conf", "[allow b]\nusr = 1\n", 18);
	expect_load_error(-EINVAL, "/b/20-x.conf:2:1: unknown key");
}

static void directory_that_is_none(void **state)
{
	struct policy_error error = {0};
	struct policy *policy;
	char path[128];
	const char *const directories[] = {path, NULL};

	(void)state;
	put("a/file", "a");
	snprintf(path, sizeof path, "%s/a/file", base);
	assert_int_equal(policy_load(directories, &policy, &error), -ENOTDIR);
	assert_non_null(strstr(error.text, "/a/file: Not a directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address),
		cmocka_unit_test(id),
		cmocka_unit_test(class_prefix),
		cmocka_unit_test(user),
		cmocka_unit_test(group),
		cmocka_unit_test(unit),
		cmocka_unit_test(people_must_all_fit),
		cmocka_unit_test(rebind),
		cmocka_unit_test(resets),
		cmocka_unit_test(settling),
		cmocka_unit_test(numbers_of_rules),
		cmocka_unit_test(limits_of_users),
		cmocka_unit_test(misfits),
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
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(long_line),
		cmocka_unit_test_setup_teardown(files_are_sorted_by_name, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(files_hide_files, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(files_that_cannot_be_read, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(directory_that_is_none, make_directories, remove_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
