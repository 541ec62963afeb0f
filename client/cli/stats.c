/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "failure.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * The broker's numbers as OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/), for the textfile
 * collector of a node exporter, say. Names and labels stay.
 */

static void family(const char *name, const char *type, const char *unit, const char *help)
{
	printf("# TYPE vfio_broker_%s %s\n", name, type);
	if (unit)
		printf("# UNIT vfio_broker_%s %s\n", name, unit);
	printf("# HELP vfio_broker_%s %s\n", name, help);
}

/* A value of a label; quotes, backslashes and line ends are escaped. */
static void label(const char *value, size_t size)
{
	putchar('"');
	for (size_t i = 0; i < size && value[i]; i++) {
		if (value[i] == '\n')
			printf("\\n");
		else if (value[i] == '"' || value[i] == '\\')
			printf("\\%c", value[i]);
		else
			putchar(value[i]);
	}
	putchar('"');
}

static void seconds(uint64_t microseconds)
{
	printf("%" PRIu64 ".%06" PRIu64 "\n", microseconds / 1000000, microseconds % 1000000);
}

static void gauge(const char *name, const char *help, uint64_t value)
{
	family(name, "gauge", NULL, help);
	printf("vfio_broker_%s %" PRIu64 "\n", name, value);
}

static void counter(const char *name, const char *help, uint64_t value)
{
	family(name, "counter", NULL, help);
	printf("vfio_broker_%s_total %" PRIu64 "\n", name, value);
}

/* ---- the broker as a whole ---- */

static void print_now(const struct vbroker_status *status)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	family("start_time_seconds", "gauge", "seconds", "When this broker was started, since 1970.");
	printf("vfio_broker_start_time_seconds ");
	seconds((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - status->uptime_us);
	gauge("sessions", "Connected clients.", status->sessions);
	gauge("watchers", "Clients that follow events.", status->watchers);
	gauge("leases", "Leased devices.", status->leases);
	family("keepers", "gauge", NULL, "Keeper processes: spare ones, and those that have a group or are starting.");
	printf("vfio_broker_keepers{state=\"spare\"} %" PRIu32 "\n", status->keepers_spare);
	printf("vfio_broker_keepers{state=\"busy\"} %" PRIu32 "\n", status->keepers - status->keepers_spare);
	gauge("devices", "PCI devices of the machine.", status->devices);
	gauge("quarantined_groups", "IOMMU groups that are quarantined.", status->quarantined);
}

/* An alarm may go by these: without a policy nobody gets anything, and a file with a mistake is not in force. */
static void print_policy(const struct vbroker_status *status)
{
	gauge("policy_in_force", "1: there are rules in force; 0: nobody gets a device.",
		(uint64_t)(status->policy_in_force != 0));
	gauge("policy_wrong", "1: the files are wrong, or cannot be read, and are not what is in force; 0: they are.",
		(uint64_t)(status->policy_error[0] != '\0'));
	gauge("policy_rules", "Rules in force.", status->policy_rules);
	family("policy_age_seconds", "gauge", "seconds", "How long ago the rules in force were read.");
	printf("vfio_broker_policy_age_seconds ");
	seconds(status->policy_age_us);
}

static void print_counters(const struct vbroker_status *status)
{
	counter("requests", "Requests of clients.", status->requests);
	counter("opens", "Requests for a device.", status->opens);
	counter("refusals", "Requests and connections that were refused.", status->refusals);
	counter("releases", "Leases that have ended.", status->releases);
	counter("malformed", "Clients disconnected because they broke the protocol.", status->malformed);
	counter("audit_suppressed", "Events that were summed up instead of being recorded one by one.",
		status->suppressed);
	counter("audit_lost", "Entries that the journal did not take.", status->lost);
	counter("watch_missed", "Events that clients did not get because they did not read.", status->missed);
	family("events", "counter", NULL, "What has happened, by kind.");
	for (int kind = 1; kind <= VBROKER_CHANGE_FRONT_LOST; kind++) {
		if (kind == VBROKER_CHANGE_LOST)
			continue;
		printf("vfio_broker_events_total{event=\"%s\"} %" PRIu64 "\n", vbroker_change_name(kind),
			status->changes[kind]);
	}
	family("denials", "counter", NULL, "Devices and connections that were refused, by reason.");
	for (int refusal = 1; refusal < VBROKER_STATUS_DENIALS; refusal++) {
		if (status->denials[refusal] > 0)
			printf("vfio_broker_denials_total{refusal=\"%s\"} %" PRIu64 "\n", vbroker_refusal_name(refusal),
				status->denials[refusal]);
	}
}

/* ---- devices ---- */

static void print_states(const struct vbroker_device_entry *entries, size_t count)
{
	family("device_state", "gauge", NULL, "1 for the state that a device is in, 0 for the others.");
	for (size_t i = 0; i < count; i++) {
		for (int state = VBROKER_STATE_FREE; state <= VBROKER_STATE_QUARANTINED; state++) {
			printf("vfio_broker_device_state{device=");
			label(entries[i].name, sizeof entries[i].name);
			printf(",state=\"%s\"} %d\n", text_state((enum vbroker_device_state)state),
				(int)entries[i].state == state);
		}
	}
}

static void print_leases(const struct vbroker_lease_entry *leases, size_t leases_count,
	const struct vbroker_device_entry *entries, size_t count)
{
	family("lease_age_seconds", "gauge", "seconds", "How long a device has been leased, and to whom.");
	for (size_t i = 0; i < leases_count; i++) {
		const struct vbroker_holder *holder = NULL;

		for (size_t j = 0; j < count; j++) {
			if (strcmp(entries[j].name, leases[i].name) == 0)
				holder = &entries[j].holder;
		}
		printf("vfio_broker_lease_age_seconds{device=");
		label(leases[i].name, sizeof leases[i].name);
		printf(",group=\"%" PRIu32 "\",uid=\"%" PRIu32 "\",unit=", leases[i].group, holder ? holder->uid : 0);
		label(holder ? holder->unit : "", sizeof holder->unit);
		printf("} ");
		seconds(leases[i].age_us);
	}
}

int stats_run(const struct cli *cli)
{
	struct vbroker_device_entry *entries = NULL;
	struct vbroker_lease_entry *leases = NULL;
	size_t count = 0, leases_count = 0;
	struct vbroker_status status;
	int r = vbroker_session_status(cli->session, &status);

	if (r == 0)
		r = vbroker_list_devices(cli->session, &entries, &count);
	if (r == 0)
		r = vbroker_list_leases(cli->session, &leases, &leases_count);
	if (r == 0) {
		print_now(&status);
		print_policy(&status);
		print_counters(&status);
		print_states(entries, count);
		print_leases(leases, leases_count, entries, count);
		/* The end mark tells the reader that the text is complete. */
		printf("# EOF\n");
	}
	free(entries);
	free(leases);
	return r == 0 ? CLI_OK : failure_request(cli, "read the numbers", r);
}
