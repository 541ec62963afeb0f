/* SPDX-License-Identifier: MIT */
#include "audit/audit.h"
#include "audit/audit_ids.h"
#include "base/journal.h"
#include "base/limits.h"
#include "log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The journal's socket is this test's; there is no more of a broker than its audit needs. */

static struct broker broker;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char directory[64];
static int journald;
static char entry[4096];

static int journald_new(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static int begin(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/broker_audit.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
	journald = journald_new();
	memset(&broker, 0, offsetof(struct broker, buffers));
	LIST_INIT(&broker.fronts);
	assert_true(sd_event_new(&broker.event) >= 0);
	audit_init(&broker.audit, address.sun_path);
	return 0;
}

static int end(void **state)
{
	(void)state;
	broker.stopping = true;
	audit_clear(&broker);
	sd_event_unref(broker.event);
	close(journald);
	unlink(address.sun_path);
	rmdir(directory);
	return 0;
}

/* The next entry that came, or NULL. */
static const char *next(void)
{
	ssize_t size = recv(journald, entry, sizeof entry - 1, 0);

	if (size < 0)
		return NULL;
	entry[size] = '\0';
	return entry;
}

/* Whether TEXT has this line. */
static bool has_line(const char *text, const char *line)
{
	const char *found = text;
	size_t length = strlen(line);

	while ((found = strstr(found, line))) {
		if ((found == text || found[-1] == '\n') && found[length] == '\n')
			return true;
		found++;
	}
	return false;
}

static int lines(const char *text)
{
	int count = 0;

	for (; *text; text++)
		count += *text == '\n';
	return count;
}

static void a_grant_has_all_its_fields(void **state)
{
	const struct iommu_group group = {.number = 0};
	struct audit_event event = {
		.kind = CHANGE_GRANT,
		.device = "0000:01:00.0",
		.group = &group,
		.who = {.uid = 1000, .pid = 4711, .unit = "spdk.service"},
		.session = 7,
		.rule = "\"storage\" (/etc/a.conf:3)",
		.duration_us = 1234,
	};
	const char *text;

	(void)state;
	audit_record(&broker, &event, "%s: leased", event.device);
	text = next();
	assert_non_null(text);
	assert_true(has_line(text, "MESSAGE=0000:01:00.0: leased"));
	assert_true(has_line(text, "MESSAGE_ID=" AUDIT_ID_GRANT));
	assert_true(has_line(text, "PRIORITY=6"));
	assert_true(has_line(text, "SYSLOG_IDENTIFIER=vfio-brokerd"));
	assert_true(has_line(text, "VFIO_BROKER_EVENT=grant"));
	assert_true(has_line(text, "VFIO_BROKER_DEVICE=0000:01:00.0"));
	assert_true(has_line(text, "VFIO_BROKER_GROUP=0"));
	assert_true(has_line(text, "VFIO_BROKER_UID=1000"));
	assert_true(has_line(text, "VFIO_BROKER_PID=4711"));
	assert_true(has_line(text, "VFIO_BROKER_UNIT=spdk.service"));
	assert_true(has_line(text, "VFIO_BROKER_SESSION=7"));
	assert_true(has_line(text, "VFIO_BROKER_RULE=\"storage\" (/etc/a.conf:3)"));
	assert_true(has_line(text, "VFIO_BROKER_DURATION_USEC=1234"));
	assert_int_equal(lines(text), 13);
	assert_null(next());
	assert_int_equal(broker.audit.counts[CHANGE_GRANT], 1);
}

static void a_group_is_all_its_devices(void **state)
{
	struct device devices[] = {{.name = "0000:01:00.1"}, {.name = "0000:01:00.0"}};
	struct iommu_group group = {.number = 7};
	const struct audit_event event = {.kind = CHANGE_QUARANTINE, .group = &group};

	(void)state;
	LIST_INIT(&group.devices);
	LIST_INSERT_HEAD(&group.devices, &devices[0], in_group);
	LIST_INSERT_HEAD(&group.devices, &devices[1], in_group);
	audit_record(&broker, &event, "quarantined");
	assert_true(has_line(next(), "VFIO_BROKER_DEVICE=0000:01:00.0"));
	assert_true(has_line(entry, "VFIO_BROKER_DEVICE=0000:01:00.1"));
	assert_int_equal(lines(entry), 8);
}

static void what_is_not_known_is_left_out(void **state)
{
	const struct audit_event event = {.kind = CHANGE_ADD, .device = "0000:01:00.0"};

	(void)state;
	audit_record(&broker, &event, "new");
	assert_non_null(next());
	assert_null(strstr(entry, "UID"));
	assert_null(strstr(entry, "GROUP"));
	assert_null(strstr(entry, "REFUSAL"));
	assert_int_equal(lines(entry), 6);
}

static void refusals_have_names_and_errnos(void **state)
{
	/* Root in another pid namespace: neither uid nor pid is a number to go by, but it was somebody. */
	struct audit_event event = {.kind = CHANGE_DENIAL, .refusal = REFUSAL_DEVICE_BUSY};

	(void)state;
	audit_record(&broker, &event, "busy");
	assert_true(has_line(next(), "VFIO_BROKER_REFUSAL=DEVICE_BUSY"));
	assert_true(has_line(entry, "VFIO_BROKER_UID=0"));
	assert_true(has_line(entry, "PRIORITY=5"));
	event.refusal = -EMFILE;
	event.level = LOG_ERR;
	audit_record(&broker, &event, "failed");
	assert_true(has_line(next(), "VFIO_BROKER_REFUSAL=FAILED"));
	assert_true(has_line(entry, "ERRNO=24"));
	assert_true(has_line(entry, "PRIORITY=3"));
	assert_int_equal(broker.audit.denials[REFUSAL_DEVICE_BUSY], 1);
	assert_int_equal(broker.audit.denials[REFUSAL_FAILED], 1);
}

static void a_value_cannot_become_a_field(void **state)
{
	struct audit_event event = {.kind = CHANGE_GRANT, .device = "x\nPRIORITY=0", .rule = "\"\xff\x1b[31m\"\r"};
	char longer[4000];

	(void)state;
	memset(event.who.unit, 'u', sizeof event.who.unit); /* no NUL */
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	audit_record(&broker, &event, "one\ntwo %s", longer);
	assert_non_null(next());
	assert_false(has_line(entry, "PRIORITY=0"));
	assert_true(has_line(entry, "VFIO_BROKER_DEVICE=x?PRIORITY=0"));
	assert_true(has_line(entry, "VFIO_BROKER_RULE=\"??[31m\"?"));
	assert_int_equal(strncmp(entry, "MESSAGE=one?two xxx", 19), 0);
	assert_true(strlen(entry) < 2048);
	for (const char *c = entry; *c; c++)
		assert_true(*c == '\n' || (*c >= 0x20 && *c < 0x7f));
}

/* journald is stopped: nothing waits, what is lost is counted, and said where it is missing. */
static void a_journal_that_does_not_read_stops_nobody(void **state)
{
	const struct audit_event event = {.kind = CHANGE_GRANT, .device = "0000:01:00.0"};
	unsigned int sent = 0, read = 0;
	char line[64];

	(void)state;
	while (broker.audit.lost < 3 && sent < 100000) {
		audit_record(&broker, &event, "number %u", sent++);
	}
	assert_int_equal(broker.audit.lost, 3);
	while (next())
		read++;
	assert_int_equal(read, sent - 3);
	audit_record(&broker, &event, "after");
	assert_true(has_line(next(), "VFIO_BROKER_EVENT=lost"));
	assert_true(has_line(entry, "VFIO_BROKER_COUNT=3"));
	snprintf(line, sizeof line, "MESSAGE_ID=%s", AUDIT_ID_LOST);
	assert_true(has_line(entry, line));
	assert_true(has_line(next(), "MESSAGE=after"));
	assert_null(next());
	assert_int_equal(broker.audit.lost_untold, 0);
	assert_int_equal(broker.audit.counts[CHANGE_GRANT], sent + 1);
}

static void a_journal_that_comes_back_is_found(void **state)
{
	const struct audit_event event = {.kind = CHANGE_GRANT};

	(void)state;
	close(journald);
	audit_record(&broker, &event, "nobody");
	unlink(address.sun_path);
	audit_record(&broker, &event, "nobody");
	assert_int_equal(broker.audit.lost, 2);
	journald = journald_new();
	audit_record(&broker, &event, "somebody");
	assert_true(has_line(next(), "VFIO_BROKER_COUNT=2"));
	assert_true(has_line(next(), "MESSAGE=somebody"));
}

static void without_a_journal_it_is_a_line_on_stderr(void **state)
{
	const struct audit_event event = {.kind = CHANGE_QUARANTINE, .device = "0000:01:00.0"};
	int ends[2], saved = dup(STDERR_FILENO);
	char line[128] = {0};

	(void)state;
	journal_close(&broker.audit.journal);
	audit_init(&broker.audit, NULL);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	audit_record(&broker, &event, "group %d: quarantined", 4);
	dup2(saved, STDERR_FILENO);
	assert_true(read(ends[0], line, sizeof line - 1) > 0);
	assert_string_equal(line, "<3>group 4: quarantined\n");
	assert_int_equal(broker.audit.lost, 0);
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

/* ---- the limit ---- */

static unsigned int count_entries(void)
{
	unsigned int count = 0;

	while (next())
		count++;
	return count;
}

/* Returns how many entries came of it; read one by one, because the queue of a socket may be short. */
static unsigned int deny(uid_t uid, unsigned int times)
{
	const struct audit_event event = {
		.kind = CHANGE_DENIAL, .who = {.uid = uid, .pid = 9}, .owner = uid, .refusal = REFUSAL_DENIED};
	unsigned int count = 0;

	for (unsigned int i = 0; i < times; i++) {
		audit_record(&broker, &event, "denied");
		count += count_entries();
	}
	return count;
}

/* Lets timers run until an entry has come, for at most two seconds. */
static const char *wait_for_entry(void)
{
	for (int i = 0; i < 200; i++) {
		sd_event_run(broker.event, 10000);
		if (next())
			return entry;
	}
	return NULL;
}

static void what_one_user_repeats_is_summed_up(void **state)
{
	(void)state;
	broker.audit.interval_us = 100000;
	assert_int_equal(deny(1000, AUDIT_BURST + 1234), AUDIT_BURST);
	/* Others are not concerned, and neither are events of another kind. */
	assert_int_equal(deny(1001, 1), 1);
	audit_record(&broker,
		&(struct audit_event){.kind = CHANGE_RELEASE, .who = {.uid = 1000, .pid = 9}, .owner = 1000}, "r");
	assert_int_equal(count_entries(), 1);

	assert_non_null(wait_for_entry());
	assert_true(has_line(entry, "VFIO_BROKER_COUNT=1234"));
	assert_true(has_line(entry, "VFIO_BROKER_UID=1000"));
	assert_true(has_line(entry, "VFIO_BROKER_EVENT=denial"));
	assert_non_null(strstr(entry, "MESSAGE=uid 1000: and 1234 more refusals in 1 s\n"));
	assert_int_equal(broker.audit.counts[CHANGE_DENIAL], AUDIT_BURST + 1235);
	assert_int_equal(broker.audit.denials[REFUSAL_DENIED], AUDIT_BURST + 1235);
	assert_int_equal(broker.audit.suppressed, 1234);

	/* It goes on: no single records in the next interval. */
	assert_int_equal(deny(1000, 5), 0);
	assert_non_null(wait_for_entry());
	assert_true(has_line(entry, "VFIO_BROKER_COUNT=5"));
	/* It has stopped for an interval: forgotten, and recorded one by one again. */
	for (int i = 0; i < 40 && broker.audit.limits_count > 0; i++)
		sd_event_run(broker.event, 10000);
	assert_int_equal(broker.audit.limits_count, 0);
	assert_int_equal(deny(1000, 1), 1);
}

/* A user that takes and gives back devices all the time hides no lease of another user's. */
static void churn_is_counted_by_person(void **state)
{
	static const enum change_kind kinds[] = {CHANGE_GRANT, CHANGE_RELEASE};
	uint64_t told = 0;

	(void)state;
	for (uid_t uid = 100000; uid < 100300; uid++) {
		for (size_t i = 0; i < 2; i++)
			audit_record(&broker,
				&(struct audit_event){.kind = kinds[i], .who = {.uid = uid, .pid = 9}, .owner = 1000},
				"churn");
		told += count_entries();
	}
	assert_int_equal(told, 2 * AUDIT_BURST_LEASES);
	assert_int_equal(broker.audit.counts[CHANGE_GRANT], 300);
	assert_int_equal(broker.audit.limits_count, 2);
	audit_record(
		&broker, &(struct audit_event){.kind = CHANGE_GRANT, .who = {.uid = 1001}, .owner = 1001}, "lease");
	assert_int_equal(count_entries(), 1);
}

static void many_users_cost_bounded_memory(void **state)
{
	uint64_t told = 0;

	(void)state;
	for (uid_t uid = 1; uid <= AUDIT_LIMITS_MAX + 1000; uid++)
		told += deny(uid, 1);
	assert_int_equal(broker.audit.limits_count, AUDIT_LIMITS_MAX + 1);
	assert_int_equal(told, AUDIT_LIMITS_MAX + AUDIT_BURST);
	assert_int_equal(broker.audit.suppressed, 1000 - AUDIT_BURST);
	/* The end of the service loses no counts either. */
	broker.stopping = true;
	audit_clear(&broker);
	audit_init(&broker.audit, NULL);
	assert_non_null(next());
	assert_non_null(strstr(entry, "MESSAGE=other users: and 980 more refusals in "));
	assert_null(next());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_grant_has_all_its_fields, begin, end),
		cmocka_unit_test_setup_teardown(a_group_is_all_its_devices, begin, end),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_left_out, begin, end),
		cmocka_unit_test_setup_teardown(refusals_have_names_and_errnos, begin, end),
		cmocka_unit_test_setup_teardown(a_value_cannot_become_a_field, begin, end),
		cmocka_unit_test_setup_teardown(a_journal_that_does_not_read_stops_nobody, begin, end),
		cmocka_unit_test_setup_teardown(a_journal_that_comes_back_is_found, begin, end),
		cmocka_unit_test_setup_teardown(without_a_journal_it_is_a_line_on_stderr, begin, end),
		cmocka_unit_test_setup_teardown(what_one_user_repeats_is_summed_up, begin, end),
		cmocka_unit_test_setup_teardown(churn_is_counted_by_person, begin, end),
		cmocka_unit_test_setup_teardown(many_users_cost_bounded_memory, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
