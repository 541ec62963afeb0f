/* SPDX-License-Identifier: MIT */
#include "opening.h"

#include "figure.h"
#include "floor.h"
#include "processor.h"
#include "samples.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * OPEN, the greeting of the device channel, RELEASE and its answer: all that a client waits for. A keeper is in
 * reserve each time. Its processor time and its page faults count from before OPEN until the lease is there: a keeper
 * in reserve has given back the pages of its start (footprint_trim()), and gets those back that a lease needs.
 */

#define ROUNDS	    100
#define FLOOR_CHUNK 50

/* Two entries of the journal for each lease, its grant and its end. */
#define ENTRIES	    2
#define ENTRY_BYTES 700

struct parts {
	struct samples floor, whole, open, broker, keeper, journal;
	double faults[ROUNDS];
	size_t faults_count;
};

/* Processor time of a process in nanoseconds; 0: it has gone. */
static uint64_t processor_ns(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/* How many page faults of a process needed no disk, from /proc/PID/stat; -1: it has gone. */
static long faults(pid_t pid)
{
	char path[64], text[512];
	long count = -1;
	const char *rest;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	/* After the name, which ends with the last bracket: state, 6 numbers, minflt. */
	if (fgets(text, sizeof text, file) && (rest = strrchr(text, ')')))
		sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %ld", &count);
	fclose(file);
	return count;
}

/* The keeper of the only lease; 0: there is none. */
static pid_t keeper_of_lease(struct vbroker_session *session)
{
	struct vbroker_lease_entry *leases;
	pid_t pid = 0;
	size_t count;

	must(vbroker_list_leases(session, &leases, &count), "LEASES");
	if (count == 1)
		pid = (pid_t)leases[0].keeper_pid;
	free(leases);
	return pid;
}

/* Until the group is free again and the next keeper has started. */
static void await_free(struct vbroker_session *session)
{
	struct vbroker_device_entry *entries;
	bool free_again;
	size_t count;

	do {
		usleep(500);
		must(vbroker_list_devices(session, &entries, &count), "LIST");
		free_again = count == 1 && entries[0].state == VBROKER_STATE_FREE;
		free(entries);
	} while (!free_again);
	service_await_spare(session);
}

static void open_and_close(const struct service *service, struct vbroker_session *session, struct parts *parts)
{
	pid_t spare = service_keeper(service);
	uint64_t broker = processor_ns(service->broker), keeper = processor_ns(spare), opened, closed;
	long before = faults(spare);
	struct vbroker_device *device;
	uint64_t start = now_ns();

	must(vbroker_device_open(session, SERVICE_DEVICE, &device), "OPEN");
	opened = now_ns() - start;
	broker = processor_ns(service->broker) - broker;
	/* The keeper of the lease before may not have ended yet, and was taken for the one in reserve. */
	if (keeper_of_lease(session) == spare) {
		samples_add(&parts->keeper, processor_ns(spare) - keeper);
		parts->faults[parts->faults_count++] = (double)(faults(spare) - before);
	}
	broker -= processor_ns(service->broker);
	start = now_ns();
	vbroker_device_close(device);
	closed = now_ns() - start;
	broker += processor_ns(service->broker);
	samples_add(&parts->whole, opened + closed);
	samples_add(&parts->open, opened);
	samples_add(&parts->broker, broker);
}

/* What it takes to send the entries, as the broker does it, to a socket that somebody reads later. */
static void send_entries(const int journal[2], struct parts *parts)
{
	char entry[ENTRY_BYTES] = {0};
	uint64_t start = now_ns();

	for (int i = 0; i < ENTRIES; i++) {
		if (write(journal[0], entry, sizeof entry) != sizeof entry)
			die("the socket in the journal's place");
	}
	samples_add(&parts->journal, now_ns() - start);
	for (int i = 0; i < ENTRIES; i++)
		recv(journal[1], entry, sizeof entry, 0);
}

static void add(const char *name, struct samples *samples, struct samples *floor, double target, const char *remark)
{
	struct figure figure = figure_durations(name, samples, floor, target);

	snprintf(figure.remark, sizeof figure.remark, "%s", remark);
	figure_add(&figure);
}

static void add_faults(const struct parts *parts)
{
	struct figure figure;

	if (parts->faults_count == 0)
		return;
	figure = figure_number("open_device_keeper_faults", "pages", median(parts->faults, parts->faults_count), -1);
	snprintf(figure.remark, sizeof figure.remark,
		"page faults of the keeper until then: pages given back at its start");
	figure_add(&figure);
}

void bench_opening(const struct service *service, struct vbroker_session *session)
{
	static struct parts parts;
	int journal[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, journal) < 0)
		die("socketpair");
	processor_pin_server(0);
	await_free(session);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < FLOOR_CHUNK; i++) {
			uint64_t start = now_ns();

			floor_runner.run(floor_runner.context);
			samples_add(&parts.floor, now_ns() - start);
		}
		send_entries(journal, &parts);
		open_and_close(service, session, &parts);
		await_free(session);
	}
	add("open_device", &parts.whole, &parts.floor, 30,
		"OPEN and close, with a keeper and a helper in reserve; the parts:");
	add("open_device_open", &parts.open, &parts.floor, -1, "of that, until the device channel is greeted");
	add("open_device_broker", &parts.broker, NULL, -1, "processor time of the broker in both");
	add("open_device_keeper", &parts.keeper, NULL, -1, "processor time of the keeper until the lease is there");
	add_faults(&parts);
	add("open_device_journal", &parts.journal, NULL, -1, "two datagrams of 700 bytes, as the journal gets them");
	samples_clear(&parts.floor);
	samples_clear(&parts.whole);
	samples_clear(&parts.open);
	samples_clear(&parts.broker);
	samples_clear(&parts.keeper);
	samples_clear(&parts.journal);
	close(journal[0]);
	close(journal[1]);
}
