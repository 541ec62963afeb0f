/* SPDX-License-Identifier: MIT */
#include "base/limits.h"
#include "packet.h"
#include "policy/policy_files.h"
#include "policy/policy_stream.h"
#include "policy_message.h"
#include "round_trip.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Policies as the reader of policy files sends them to the broker. */

static const char *corpus;

static void expect_same(const char *text)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error;
	const char *mistake;

	assert_non_null(policy);
	if (policy_read(policy, "/etc/a\nb.conf", text, &error) == 0) {
		mistake = round_trip_mistake(policy);
		if (mistake)
			fail_msg("%s\n%s", mistake, text);
	}
	policy_free(policy);
}

static void policies_travel_unchanged(void **state)
{
	static const char *const texts[] = {
		"",
		"[allow a]\naddress = 0000:01:00.0 *\nid = 8086:* *:*\nclass = 0108 *\nuser = *\n",
		"[allow a = b]\nclass = *\nuser = root 1000 * root\ngroup = root 7\nunit = a@*.service [ab]*.scope\n",
		"[allow a]\nclass = *\nuser = no-such-user 7 gone;too\ngroup = no-such-group\n",
		"[deny   blanks ; and more]\nclass = *\ngroup = *\n",
		"[allow a]\nclass = *\ngroup = *\nrebind = no\naccess = split\n",
		"[allow a]\nclass = *\nuser = 0\nrebind = yes\naccess = direct\nreset = optional\nsettle = 0s\n",
		"[allow a]\nclass = *\nuser = 0\nrebind = yes\nin-use = take\n",
		"[allow a]\nclass = *\nuser = 0\nreset = same-user\nsettle = 999999999ms\nlease-time = 90s\n",
		"[allow a]\nclass = *\nuser = 0\nwindows = 0\nwindow-size = 0\n"
		"window-range = 0 1:0x1000-0x1fff 2:0-0xfff\n",
		"[allow a]\nclass = *\nuser = 0\nwindow-size = 0xffffffffffffffff\n"
		"window-range = 5:0-0xffffffffffffffff\n",
		"[limits a]\nuser = *\ndevices = 0\nsessions = 3\nopens-per-minute = 1\n"
		"connections-per-minute = 1000000\n",
		"[allow a]\nclass = *\nuser = 0\ndevices = 4294967294\ndevices-per-unit = 2\nmappings = 0\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		expect_same(texts[i]);
}

/* What fuzzing has found interesting. */
static void policies_of_the_corpus_travel_unchanged(void **state)
{
	DIR *dir = opendir(corpus);
	unsigned int count = 0;

	(void)state;
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		char path[512], text[65536];
		ssize_t length;
		int fd;

		snprintf(path, sizeof path, "%s/%s", corpus, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		if (length < 0)
			continue;
		text[length] = '\0';
		expect_same(text);
		count++;
	}
	closedir(dir);
	assert_true(count > 5);
}

/* A broker looks nobody up, and takes nothing that no file could say. */
static void other_lines_are_refused(void **state)
{
	static const char *const lines[] = {"class = *", "allow", "user = root", "group = wheel", "user = -1",
		"user = 1 ; ", "user = * ; alice", "user = bob ; lost", "user = bob ; ", "unit = bob ; unknown",
		"user = * ; unknown", "sessions = 3", "nothing = 1", "line x", "line -1", "", "user=1", "file",
		"rebind = perhaps", "windows = 1 2", "out of memory"};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct policy *policy = calloc(1, sizeof *policy);
		struct policy_error error = {0};
		char text[128];
		size_t size = (size_t)snprintf(text, sizeof text, "allow a%c%s", 0, lines[i]) + 1;
		int r = policy_canonical_read(policy, i == 0 ? text + 8 : text, i == 0 ? size - 8 : size, &error);

		if (strcmp(lines[i], "user = 1 ; ") == 0)
			assert_int_equal(r, 0);
		else if (r != -EPROTO || !error.text[0])
			fail_msg("\"%s\" is taken: %d", lines[i], r);
		policy_free(policy);
	}
}

/* No file could say so: the rule does not go into force. */
static void only_a_rule_that_allows_has_unknown_names(void **state)
{
	static const struct {
		const char lines[48];
		int result;
	} cases[] = {
		{"allow a\0user = bob ; unknown", 0},
		{"deny a\0user = bob ; unknown", -EPROTO},
		{"limits a\0user = bob ; unknown", -EPROTO},
		{"allow a\0user = 1 ; unknown", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct policy *policy = calloc(1, sizeof *policy);
		struct policy_error error = {0};
		size_t size = strlen(cases[i].lines) + 1;

		size += strlen(cases[i].lines + size) + 1;
		assert_int_equal(policy_canonical_read(policy, cases[i].lines, size, &error), cases[i].result);
		assert_int_equal(policy->rules[0].users.unknown.count, i == 0);
		assert_int_equal(policy->rules[0].users.count, i == 3);
		policy_free(policy);
	}
}

static void half_a_line_is_refused(void **state)
{
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error = {0};

	(void)state;
	assert_int_equal(policy_canonical_read(policy, "allow a\0user", 12, &error), -EPROTO);
	policy_free(policy);
}

/* ---- streams ---- */

static struct packet packet;

static void send_event(int socket, uint16_t type, const void *payload, size_t size)
{
	packet_event(&packet, type);
	memcpy(packet_append(&packet, size), payload, size);
	assert_int_equal(packet_send(socket, MSG_DONTWAIT, &packet), 0);
}

static void streams_say_how_they_ended(void **state)
{
	static const struct policy_started started = {.pid = 42};
	static const char lines[] = "allow a\0class = *\0user = 7 ; x", incomplete[] = "allow a\0class = *";
	static const struct {
		uint16_t types[3];
		enum policy_stream_state end;
	} cases[] = {
		{{POLICY_READER_STARTED, POLICY_READER_LINES, POLICY_READER_DONE}, STREAM_DONE},
		{{POLICY_READER_STARTED, POLICY_READER_DONE, 0}, STREAM_DONE},
		{{POLICY_READER_STARTED, POLICY_READER_LINES, 0}, STREAM_FAILED},
		{{POLICY_READER_LINES, 0, 0}, STREAM_FAILED},
		{{POLICY_READER_DONE, 0, 0}, STREAM_FAILED},
		{{POLICY_READER_STARTED, POLICY_READER_STARTED, 0}, STREAM_FAILED},
		{{POLICY_READER_STARTED, POLICY_READER_MISTAKE, 0}, STREAM_MISTAKE},
		{{POLICY_READER_STARTED, 7, 0}, STREAM_FAILED},
		{{0, 0, 0}, STREAM_FAILED},
	};
	struct policy_mistake mistake = {1, 2, "t.conf:1:2: no"};

	(void)state;
	packet_init(&packet);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct policy_stream stream = {0};
		int pair[2];

		unit_pair(pair);
		policy_stream_receive(&stream, pair[0], &packet);
		assert_int_equal(stream.state, STREAM_SILENT);
		for (size_t j = 0; j < 3 && cases[i].types[j]; j++) {
			if (cases[i].types[j] == POLICY_READER_STARTED)
				send_event(pair[1], POLICY_READER_STARTED, &started, sizeof started);
			else if (cases[i].types[j] == POLICY_READER_LINES)
				send_event(pair[1], POLICY_READER_LINES, lines, sizeof lines);
			else if (cases[i].types[j] == POLICY_READER_MISTAKE)
				send_event(pair[1], POLICY_READER_MISTAKE, &mistake, sizeof mistake);
			else
				send_event(pair[1], cases[i].types[j], "", 0);
		}
		close(pair[1]);
		while (!policy_stream_ended(&stream))
			policy_stream_receive(&stream, pair[0], &packet);
		assert_int_equal(stream.state, cases[i].end);
		assert_int_equal(stream.error.text[0] == '\0', stream.state == STREAM_DONE);
		policy_stream_clear(&stream);
		close(pair[0]);
	}
	{
		struct policy_stream stream = {0};
		int pair[2];

		/* A rule that lacks a user would be for everybody. */
		unit_pair(pair);
		send_event(pair[1], POLICY_READER_STARTED, &started, sizeof started);
		send_event(pair[1], POLICY_READER_LINES, incomplete, sizeof incomplete);
		send_event(pair[1], POLICY_READER_DONE, "", 0);
		while (!policy_stream_ended(&stream))
			policy_stream_receive(&stream, pair[0], &packet);
		assert_int_equal(stream.state, STREAM_FAILED);
		policy_stream_clear(&stream);
		close(pair[0]);
		close(pair[1]);
	}
	packet_clear(&packet);
}

static void a_policy_has_a_largest_size(void **state)
{
	static const struct policy_started started = {.pid = 42};
	static char lines[60000];
	struct policy_stream stream = {0};
	int pair[2];

	(void)state;
	packet_init(&packet);
	memset(lines, 'x', sizeof lines - 1);
	memcpy(lines, "warning ", 8);
	unit_pair(pair);
	send_event(pair[1], POLICY_READER_STARTED, &started, sizeof started);
	policy_stream_receive(&stream, pair[0], &packet);
	for (size_t sent = 0; sent <= POLICY_BYTES_MAX && stream.state == STREAM_READING; sent += sizeof lines) {
		send_event(pair[1], POLICY_READER_LINES, lines, sizeof lines);
		policy_stream_receive(&stream, pair[0], &packet);
	}
	assert_int_equal(stream.state, STREAM_FAILED);
	assert_string_equal(stream.error.text, POLICY_TOO_LONG);
	policy_stream_clear(&stream);
	packet_clear(&packet);
	close(pair[0]);
	close(pair[1]);
}

/* ---- what is no file ---- */

static void what_is_no_file_is_skipped(void **state)
{
	char directory[] = "/tmp/broker_policy_canonical.XXXXXX", path[128];
	const char *const directories[] = {directory, NULL};
	struct policy_error error = {0};
	struct policy *policy = NULL;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/10-fifo.conf", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof path, "%s/20-directory.conf", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/30-zero.conf", directory);
	assert_int_equal(symlink("/dev/zero", path), 0);
	snprintf(path, sizeof path, "%s/40-null.conf", directory);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(policy_load(directories, &policy, &error), 0);
	assert_int_equal(policy->count, 0);
	assert_int_equal(policy->warnings.count, 3);
	assert_non_null(strstr(policy->warnings.words[0], "/10-fifo.conf: skipped, because a FIFO is no policy file"));
	assert_non_null(strstr(policy->warnings.words[1], "/20-directory.conf: skipped, because a directory is "));
	assert_non_null(strstr(policy->warnings.words[2], "/30-zero.conf: skipped, because a device is "));
	assert_null(round_trip_mistake(policy));
	policy_free(policy);
	snprintf(path, sizeof path, "%s/10-fifo.conf", directory);
	unlink(path);
	snprintf(path, sizeof path, "%s/20-directory.conf", directory);
	rmdir(path);
	snprintf(path, sizeof path, "%s/30-zero.conf", directory);
	unlink(path);
	snprintf(path, sizeof path, "%s/40-null.conf", directory);
	unlink(path);
	rmdir(directory);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_travel_unchanged),
		cmocka_unit_test(policies_of_the_corpus_travel_unchanged),
		cmocka_unit_test(other_lines_are_refused),
		cmocka_unit_test(only_a_rule_that_allows_has_unknown_names),
		cmocka_unit_test(half_a_line_is_refused),
		cmocka_unit_test(streams_say_how_they_ended),
		cmocka_unit_test(a_policy_has_a_largest_size),
		cmocka_unit_test(what_is_no_file_is_skipped),
	};

	if (argc != 2)
		return 2;
	corpus = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
