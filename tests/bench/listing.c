/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include "figure.h"
#include "floor.h"
#include "message.h"
#include "processor.h"
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many as the virtual functions of a machine that has many. */
#define DEVICES	    4000
#define ROUNDS	    20
#define CHUNK	    5
#define FLOOR_CHUNK 100

/* How long the broker may take to see the devices. */
#define PATIENCE_MS 60000

/* A device is made beside the others, and moved in (tests/fake/file_host.c). */
static void add_device(const struct service *service, unsigned int number)
{
	char made[128], path[160];
	FILE *ids;

	snprintf(made, sizeof made, "%s/new", service->directory);
	snprintf(path, sizeof path, "%s/ids", made);
	if (mkdir(made, 0700) < 0 || !(ids = fopen(path, "we")))
		die("%s", path);
	fprintf(ids, "8086 1520 020000 %u\n", 100 + number);
	fclose(ids);
	snprintf(path, sizeof path, "%s/devices/%04x:%02x:%02x.%x", service->directory, 1 + number / 2048,
		number / 256 % 8, number / 8 % 32, number % 8);
	if (rename(made, path) < 0)
		die("%s", path);
}

static void await_devices(struct vbroker_session *session)
{
	struct vbroker_status status;

	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		must(vbroker_session_status(session, &status), "STATUS");
		if (status.devices >= DEVICES)
			return;
		usleep(10000);
	}
	die("the broker has not seen %d devices in %d s", DEVICES, PATIENCE_MS / 1000);
}

static void list(void *session)
{
	struct vbroker_device_entry *entries;
	size_t count;

	must(vbroker_list_devices(session, &entries, &count), "LIST");
	free(entries);
	if (count < DEVICES)
		die("%zu devices are listed, %d are there", count, DEVICES);
}

void bench_listing(const struct service *service, struct vbroker_session *session)
{
	const size_t page = (MESSAGE_PAYLOAD_MAX - sizeof(struct listing_reply)) / sizeof(struct device_record);
	const double pages = (double)((DEVICES + 1 + page - 1) / page);
	struct samples samples = {0}, floor = {0};
	struct figure figure;

	for (unsigned int i = 0; i < DEVICES; i++) {
		add_device(service, i);
		/* The kernel drops what a slow reader has not read. */
		if (i % 1000 == 999)
			usleep(100000);
	}
	await_devices(session);
	processor_pin_server(0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < FLOOR_CHUNK; i++) {
			uint64_t begin = now_ns();

			floor_runner.run(floor_runner.context);
			samples_add(&floor, now_ns() - begin);
		}
		for (int i = 0; i < CHUNK; i++) {
			uint64_t begin = now_ns();

			list(session);
			samples_add(&samples, (uint64_t)((double)(now_ns() - begin) / pages));
		}
	}
	figure = figure_durations("list_4000", &samples, &floor, 80);
	snprintf(figure.remark, sizeof figure.remark, "one of %.0f pages of the list of %d devices", pages, DEVICES);
	figure_add(&figure);
	samples_clear(&samples);
	samples_clear(&floor);
}
