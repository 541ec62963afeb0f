/* SPDX-License-Identifier: MIT */
#include "change.h"
#include "cli.h"
#include "failure.h"
#include "parse.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

/*
 * The audit entries of the broker, out of the journal. Only entries from the service by journald's own word are taken:
 * anybody may write entries of the same look.
 */
#define UNIT_MATCH "_SYSTEMD_UNIT=vfio-broker.service"
#define ROOT_MATCH "_UID=0"

/* ---- --since ---- */

static bool since_ago(const char *text, uint64_t *ret_us)
{
	uint64_t now_ms = (uint64_t)time(NULL) * 1000, ago_ms;

	/* A bare number may be meant as an hour or a year. */
	if (text[strspn(text, "0123456789")] == '\0' || !parse_duration(text, now_ms, &ago_ms))
		return false;
	*ret_us = (now_ms - ago_ms) * 1000;
	return true;
}

static bool since_date(const char *text, uint64_t *ret_us)
{
	static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%H:%M:%S", "%H:%M"};
	time_t now = time(NULL);

	for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
		struct tm date;
		const char *end;

		localtime_r(&now, &date);
		date.tm_hour = date.tm_min = date.tm_sec = 0;
		end = strptime(text, formats[i], &date);
		if (!end || *end)
			continue;
		date.tm_isdst = -1;
		*ret_us = (uint64_t)mktime(&date) * 1000000;
		return true;
	}
	return false;
}

static bool since_read(const char *text, uint64_t *ret_us)
{
	char today[16];
	time_t day = time(NULL) - (strcmp(text, "yesterday") == 0 ? 86400 : 0);
	struct tm date;

	if (strcmp(text, "today") != 0 && strcmp(text, "yesterday") != 0)
		return since_ago(text, ret_us) || since_date(text, ret_us);
	localtime_r(&day, &date);
	strftime(today, sizeof today, "%Y-%m-%d", &date);
	return since_date(today, ret_us);
}

/* ---- one entry ---- */

/* A field of the journal's current entry; empty if the entry has no such field. */
static void field(sd_journal *journal, const char *name, char *value, size_t size)
{
	size_t prefix = strlen(name) + 1, length;
	const void *data;

	*value = '\0';
	if (sd_journal_get_data(journal, name, &data, &length) < 0 || length < prefix)
		return;
	length -= prefix;
	if (length >= size)
		length = size - 1;
	for (size_t i = 0; i < length; i++) {
		char c = ((const char *)data)[prefix + i];

		value[i] = c >= 0x20 && c < 0x7f ? c : '?';
	}
	value[length] = '\0';
}

static uint64_t number(sd_journal *journal, const char *name, uint64_t otherwise)
{
	char text[32];

	field(journal, name, text, sizeof text);
	return *text ? strtoull(text, NULL, 10) : otherwise;
}

static int kind_of(const char *name)
{
	for (int kind = 1; kind < VBROKER_STATUS_CHANGES; kind++) {
		if (strcmp(vbroker_change_name(kind), name) == 0)
			return kind;
	}
	return 0;
}

static int refusal_of(const char *name)
{
	for (int refusal = 1; *name && refusal < VBROKER_STATUS_DENIALS; refusal++) {
		if (strcmp(vbroker_refusal_name(refusal), name) == 0)
			return refusal;
	}
	return 0;
}

/* False: the entry is no audit entry. */
static bool entry_read(sd_journal *journal, struct vbroker_change *change)
{
	char name[32];

	field(journal, "VFIO_BROKER_EVENT", name, sizeof name);
	*change = (struct vbroker_change){.kind = (enum vbroker_change_kind)kind_of(name)};
	if (change->kind == 0 || sd_journal_get_realtime_usec(journal, &change->time_us) < 0)
		return false;
	change->level = (uint32_t)number(journal, "PRIORITY", 6);
	change->group = (uint32_t)number(journal, "VFIO_BROKER_GROUP", VBROKER_GROUP_NONE);
	change->session = number(journal, "VFIO_BROKER_SESSION", 0);
	change->duration_us = number(journal, "VFIO_BROKER_DURATION_USEC", 0);
	change->count = number(journal, "VFIO_BROKER_COUNT", 1);
	change->who.uid = (uint32_t)number(journal, "VFIO_BROKER_UID", 0);
	change->who.pid = (uint32_t)number(journal, "VFIO_BROKER_PID", 0);
	field(journal, "VFIO_BROKER_UNIT", change->who.unit, sizeof change->who.unit);
	field(journal, "VFIO_BROKER_DEVICE", change->device, sizeof change->device);
	field(journal, "VFIO_BROKER_RULE", change->rule, sizeof change->rule);
	field(journal, "VFIO_BROKER_REFUSAL", name, sizeof name);
	change->refusal = refusal_of(name);
	field(journal, "MESSAGE", change->message, sizeof change->message);
	return true;
}

/* ---- the journal ---- */

static int match(sd_journal *journal, const char *name, const char *value)
{
	char text[128];

	snprintf(text, sizeof text, "%s=%s", name, value);
	return sd_journal_add_match(journal, text, 0);
}

/* Limits the journal to the entries wanted by the command line; CLI_USAGE has been explained. */
static int select_entries(sd_journal *journal, const struct cli *cli)
{
	char device[TEXT_DEVICE_SIZE], uid[16];
	uint64_t since = 0;
	int r = sd_journal_add_match(journal, UNIT_MATCH, 0);

	if (r >= 0)
		r = sd_journal_add_match(journal, ROOT_MATCH, 0);
	if (r >= 0 && cli->argument) {
		text_device(device, cli->argument);
		r = match(journal, "VFIO_BROKER_DEVICE", device);
	}
	if (r >= 0 && cli->user) {
		const struct passwd *entry;
		uint32_t number;

		if (!parse_user(cli->user, &number, &entry))
			return failure_user(cli->user);
		snprintf(uid, sizeof uid, "%" PRIu32, number);
		r = match(journal, "VFIO_BROKER_UID", uid);
	}
	if (cli->since && !since_read(cli->since, &since)) {
		fprintf(stderr,
			"vfio-brokerctl: log: '%s' is no time like 10min, 2h, 3d, today, 14:30 or '2026-01-31 14:30'\n",
			cli->since);
		return CLI_USAGE;
	}
	if (r >= 0)
		r = cli->since ? sd_journal_seek_realtime_usec(journal, since) : sd_journal_seek_head(journal);
	return r;
}

static int failed(const char *what, int r)
{
	fprintf(stderr, "vfio-brokerctl: log: %s: %s\n", what, strerror(-r));
	return CLI_NO;
}

/* Prints all there is now. Returns an enum cli_exit; *PRINTED is counted up. */
static int print_entries(sd_journal *journal, const struct cli *cli, uint64_t *printed)
{
	struct vbroker_change change;
	int r;

	while ((r = sd_journal_next(journal)) > 0) {
		if (!entry_read(journal, &change))
			continue;
		r = change_print(&change, cli->json);
		if (r != CLI_OK)
			return r;
		(*printed)++;
	}
	if (fflush(stdout) != 0)
		return CLI_NO;
	return r < 0 ? failed("reading the journal", r) : CLI_OK;
}

static int follow(sd_journal *journal, const struct cli *cli, uint64_t *printed)
{
	int r = CLI_OK;

	while (r == CLI_OK) {
		int woken = sd_journal_wait(journal, UINT64_MAX);

		if (woken < 0)
			return failed("waiting for the journal", woken);
		r = print_entries(journal, cli, printed);
	}
	return r;
}

/* True if this user may read the system's journal. sd-journal does not tell: files that may not be opened look like
 * missing files. */
static bool journal_readable(void)
{
	char id[SD_ID128_STRING_MAX], path[96];
	static const char *const folders[] = {"/var/log/journal", "/run/log/journal"};
	bool there = false;
	sd_id128_t machine;

	if (sd_id128_get_machine(&machine) < 0)
		return true;
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		snprintf(path, sizeof path, "%s/%s/system.journal", folders[i], sd_id128_to_string(machine, id));
		if (access(path, R_OK) == 0)
			return true;
		there = there || errno == EACCES;
	}
	return !there;
}

static int explain_nothing(void)
{
	if (!journal_readable()) {
		fprintf(stderr,
			"vfio-brokerctl: log: this user may not read the system's journal\n"
			"What to do: ask as root, or have an administrator add the user to the group "
			"systemd-journal.\n");
		return CLI_NO;
	}
	fprintf(stderr, "vfio-brokerctl: log: the journal has no such entries of vfio-broker.service\n");
	return CLI_OK;
}

int log_run(const struct cli *cli)
{
	sd_journal *journal;
	uint64_t printed = 0;
	int r = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);

	if (r < 0)
		return failed("opening the journal", r);
	r = select_entries(journal, cli);
	if (r < 0)
		r = failed("the journal", r);
	if (r == CLI_OK)
		r = print_entries(journal, cli, &printed);
	if (r == CLI_OK && printed == 0 && !(cli->follow && journal_readable()))
		r = explain_nothing();
	if (r == CLI_OK && cli->follow)
		r = follow(journal, cli, &printed);
	sd_journal_close(journal);
	return r;
}
