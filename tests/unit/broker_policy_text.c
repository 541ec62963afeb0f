/* SPDX-License-Identifier: MIT */
#include "policy/policy.h"
#include "policy/policy_check.h"
#include "policy/policy_files.h"
#include "policy/policy_text.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Policies as text: mistakes with their line and cause, and directories of files. */

/* ---- mistakes: file, line and cause ---- */

#define LOOK_AGAIN "; if there is now, 'systemctl reload vfio-broker' looks again"

static const struct mistake {
	const char *text;
	const char *error;
} mistakes[] = {
	{"[allow a]\nclass = 01\nusr = x\n", "t.conf:3:1: unknown key \"usr\""},
	{"[allow a]\naddress = nvme0\n",
		"t.conf:2:11: not a PCI address like 0000:01:00.0 (slots end with 1f): \"nvme0\""},
	{"[deny a]\naddress = 0000:3f:3f.0\n",
		"t.conf:2:11: not a PCI address like 0000:01:00.0 (slots end with 1f): \"0000:3f:3f.0\""},
	{"[allow a]\naddress = 0000:01:00.0 0000:0G:00.0\n",
		"t.conf:2:24: not a PCI address like 0000:01:00.0 (slots end with 1f): \"0000:0G:00.0\""},
	{"[allow a]\nid = 8086\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"8086\""},
	{"[allow a]\nid = 8086:\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"8086:\""},
	{"[allow a]\nid = :8086\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \":8086\""},
	{"[allow a]\nid = 80867:123\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"80867:123\""},
	{"[allow a]\nid = 808:12345\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"808:12345\""},
	{"[allow a]\nid = xx:yy\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"xx:yy\""},
	{"[allow a]\nid = 80*:1\n", "t.conf:2:6: not a vendor:device like 1b36:0010 or 8086:*: \"80*:1\""},
	{"[allow a]\nclass = 0x0108\n", "t.conf:2:9: not leading digits of a PCI class like 0108: \"0x0108\""},
	{"[allow a]\nclass = 0108021\n", "t.conf:2:9: not leading digits of a PCI class like 0108: \"0108021\""},
	{"[deny a]\nuser = nobody-of-that-name\n", "t.conf:2:8: there is no user \"nobody-of-that-name\"" LOOK_AGAIN},
	{"[limits a]\nuser = nobody-of-that-name\n", "t.conf:2:8: there is no user \"nobody-of-that-name\"" LOOK_AGAIN},
	{"[allow a]\nuser = 4294967295\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"4294967295\""},
	{"[allow a]\nuser = alice,bob\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"alice,bob\""},
	{"[allow a]\nuser = \"root\"\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"\\x22root\\x22\""},
	{"[allow a]\nuser = root #me\n", "t.conf:2:13: not a user's name, nor a number, nor *: \"#me\""},
	{"[allow a]\nuser = al*\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"al*\""},
	{"[allow a]\nuser = 1000-1999\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"1000-1999\""},
	{"[allow a]\nuser = 0x3e8\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"0x3e8\""},
	{"[allow a]\nuser = @staff\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"@staff\""},
	{"[allow a]\ngroup = %wheel\n", "t.conf:2:9: not a group's name, nor a number, nor *: \"%wheel\""},
	{"[allow a]\ngroup = -1\n", "t.conf:2:9: not a group's name, nor a number, nor *: \"-1\""},
	{"[deny a]\nuser = 10x\n", "t.conf:2:8: there is no user \"10x\"" LOOK_AGAIN},
	{"[allow a]\nuser = -1\n", "t.conf:2:8: not a user's name, nor a number, nor *: \"-1\""},
	{"[deny a]\ngroup = no-such-group\n", "t.conf:2:9: there is no group \"no-such-group\"" LOOK_AGAIN},
	{"[allow a]\nunit = a.service # b.service\n", "t.conf:2:18: not a unit name or pattern: \"#\""},
	{"[allow a]\nunit = [deny\n", "t.conf:2:8: not a unit name or pattern: \"[deny\""},
	{"[allow a]\nunit = spdk\n",
		"t.conf:2:8: no unit with processes has such a name, which ends in .service or .scope: \"spdk\""},
	{"[deny a]\nunit = spdk@.service\n",
		"t.conf:2:8: a template has no processes, and its instances have names like a@1.service: "
		"\"spdk@.service\""},
	{"[allow a]\naddress = 0000:01:3f.0\n",
		"t.conf:2:11: not a PCI address like 0000:01:00.0 (slots end with 1f): \"0000:01:3f.0\""},
	{"[allow a]\naddress = 0000:01:00.8\n",
		"t.conf:2:11: not a PCI address like 0000:01:00.0 (slots end with 1f): \"0000:01:00.8\""},
	{"[allow a]\naddress = 0000:01:00.*\n",
		"t.conf:2:11: not a PCI address like 0000:01:00.0 (slots end with 1f): \"0000:01:00.*\""},
	{"[allow a]\nclass = 0604\n", "t.conf:2:9: bridges are never leased, whatever the rules say: \"0604\""},
	{"[deny a]\nrebind = yes\n",
		"t.conf:2:1: a key of [allow NAME], and means nothing where a rule denies: \"rebind\""},
	{"[deny a]\ndevices = 1\n",
		"t.conf:2:1: a key of [allow NAME], and means nothing where a rule denies: \"devices\""},
	{"[deny a]\nsessions = 1\n", "t.conf:2:1: a key of [limits NAME], not of rules: \"sessions\""},
	{"[allow a]\nclass = 01\nuser = *\nin-use = take\n",
		"t.conf:1:1: rule \"a\" has in-use = take, which means nothing without rebind = yes"},
	{"[allow a]\nrebind = maybe\n", "t.conf:2:10: rebind is yes or no, not \"maybe\""},
	{"[allow a]\nin-use = yes\n", "t.conf:2:10: in-use is refuse or take, not \"yes\""},
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
	{"[deny a]\naddress = 0000:01:00.0\nid = 1:2\nuser = *\n",
		"t.conf:1:1: rule \"a\" denies by two of address, id and class, and would deny only what "
		"fits both: write two rules"},
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

/* A user who is gone takes nothing from the others, where the rule allows. */
static void unknown_names_of_allow_are_warnings(void **state)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};

	(void)state;
	assert_non_null(policy);
	assert_int_equal(policy_read(policy, "t.conf",
				 "[allow a]\nclass = 01\nuser = root nobody-of-that-name\n"
				 "[allow b]\nclass = 01\ngroup = no-such-group\n",
				 &error),
		0);
	assert_string_equal(error.text, "");
	assert_int_equal(policy->warnings.count, 2);
	assert_string_equal(policy->warnings.words[0],
		"t.conf:3:13: there is no user \"nobody-of-that-name\", so the word fits nobody" LOOK_AGAIN);
	assert_string_equal(policy->warnings.words[1],
		"t.conf:6:9: there is no group \"no-such-group\", so the word fits nobody" LOOK_AGAIN);
	policy_free(policy);
}

/* START, whose last line grows by WORD to LENGTH characters, and the line TAIL. Owned by the caller. */
static char *with_line(const char *start, const char *word, size_t length, const char *tail)
{
	size_t size = strlen(start) + length + strlen(word) + strlen(tail) + 2;
	char *text = calloc(1, size);
	size_t before = strlen(start) - strlen(strrchr(start, '\n') + 1);

	assert_non_null(text);
	strcpy(text, start);
	while (strlen(text) - before < length)
		strcat(text, word);
	text[before + length] = '\0';
	strcat(strcat(text, "\n"), tail);
	return text;
}

static int read_text(const char *text, struct policy_error *error, size_t *ret_rules)
{
	struct policy *policy = calloc(1, sizeof *policy);
	int r;

	assert_non_null(policy);
	r = policy_read(policy, "t.conf", text, error);
	*ret_rules = r == 0 ? policy->rules[0].users.count + 100 * policy->count : 0;
	policy_free(policy);
	return r;
}

static void long_lines(void **state)
{
	static const struct {
		const char *start, *word;
		size_t length;
		int result;
	} cases[] = {
		{"[allow a]\nclass = 01\nuser = ", "1 ", 4096, 0},
		{"[allow a]\nclass = 01\nuser = ", "1 ", 4097, -EINVAL},
		{"[allow a]\nclass = 01\nuser = 7\n# ", "x ", 4097, 0},
		{"[allow a]\nclass = 01\nuser = 7\n  ; ", "x ", 100000, 0},
		{"[allow a]\nclass = 01\nuser = 7\n ", " ", 5000, 0},
	};
	struct policy_error error;
	size_t rules;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = with_line(cases[i].start, cases[i].word, cases[i].length, "unit = a.service\n");

		if (read_text(text, &error, &rules) != cases[i].result)
			fail_msg("%zu: %s", i, error.text);
		assert_int_equal(rules, i == 0 ? 100 + (4096 - 7 + 1) / 2 : i == 1 ? 0 : 101);
		if (i == 1)
			assert_non_null(strstr(error.text,
				"t.conf:3:1: line too long, 4096 characters are the most, it begins with \"user = 1 "));
		free(text);
	}
}

/* As editors of other systems write a file. */
static void byte_order_mark(void **state)
{
	struct policy_error error;
	size_t rules;

	(void)state;
	assert_int_equal(read_text("\xef\xbb\xbf[allow a]\r\nclass = 01\r\nuser = 7\r\n", &error, &rules), 0);
	assert_int_equal(rules, 101);
	assert_int_equal(read_text("[allow a]\n\xef\xbb\xbf"
				   "class = 01\n",
				 &error, &rules),
		-EINVAL);
	assert_non_null(strstr(error.text, "unknown key \"\\xef\\xbb\\xbfclass\""));
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
	expect_load_error(-ENOENT,
		"/b/20-x.conf: No such file or directory where the link points to, nowhere; the service sees ");
	assert_int_equal(unlink(path), 0);
	write_file("b/20-x.conf", nul, sizeof nul - 1);
	expect_load_error(-EBADMSG, "/b/20-x.conf: not a text: it holds a NUL");
	write_file("b/20-x.conf", "[allow b]\nusr = 1\n", 18);
	expect_load_error(-EINVAL, "/b/20-x.conf:2:1: unknown key");
}

/* What is outside of the service's root, and what root may not read without capabilities, is said before a reload. */
static void places_that_the_service_does_not_see(void **state)
{
	char path[128];

	(void)state;
	put("a/10-x.conf", "a10");
	snprintf(path, sizeof path, "%s/a/10-x.conf", base);
	assert_false(policy_check_place(path));
	snprintf(path, sizeof path, "%s/b/20-x.conf", base);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_true(policy_check_place(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/usr/bin/env", path), 0);
	assert_true(policy_check_place(path));
	assert_int_equal(unlink(path), 0);
	/* That is found by whoever opens the file. */
	assert_true(policy_check_place(path));
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
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(unknown_names_of_allow_are_warnings),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(byte_order_mark),
		cmocka_unit_test_setup_teardown(files_are_sorted_by_name, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(files_hide_files, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(files_that_cannot_be_read, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(
			places_that_the_service_does_not_see, make_directories, remove_directories),
		cmocka_unit_test_setup_teardown(directory_that_is_none, make_directories, remove_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
