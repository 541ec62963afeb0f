/* SPDX-License-Identifier: MIT */
#include "leases.h"

#include "domain.h"
#include "figure.h"
#include "samples.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <vfio-broker.h>

#define DEVICES 24
#define ROUNDS	3
/* The next keeper and the next helper are started after the answer to an OPEN, and the emulator takes seconds. */
#define REST_US 1500000

static const char *names[DEVICES];

static void find_devices(void)
{
	static glob_t found;

	if (glob("/sys/bus/pci/drivers/vfio-pci/0000:*", 0, NULL, &found) != 0 || found.gl_pathc != DEVICES)
		die("not %d devices with vfio-pci", DEVICES);
	for (size_t i = 0; i < DEVICES; i++)
		names[i] = strrchr(found.gl_pathv[i], '/') + 1;
}

/* Until the groups are free, and a keeper is in reserve. */
static void rest(struct vbroker_session *session)
{
	struct vbroker_status status;

	do {
		usleep(REST_US);
		must(vbroker_session_status(session, &status), "STATUS");
	} while (status.leases > 0 || status.keepers_spare == 0);
}

static double open_one(const char *name, struct vbroker_device **device)
{
	uint64_t start = now_ns();

	must(vbroker_open(name, device), name);
	return (double)(now_ns() - start);
}

static double open_singly(struct vbroker_session *session)
{
	struct vbroker_device *device;
	double ns = 0;

	for (size_t i = 0; i < DEVICES; i++) {
		rest(session);
		ns += open_one(names[i], &device);
		vbroker_device_close(device);
	}
	return ns;
}

static double open_in_a_burst(struct vbroker_session *session)
{
	struct vbroker_device *devices[DEVICES];
	double ns = 0;

	rest(session);
	for (size_t i = 0; i < DEVICES; i++)
		ns += open_one(names[i], &devices[i]);
	for (size_t i = 0; i < DEVICES; i++)
		vbroker_device_close(devices[i]);
	return ns;
}

void bench_leases(void)
{
	double burst[ROUNDS], single[ROUNDS];
	struct vbroker_session *session;
	struct figure figure;

	find_devices();
	must(vbroker_session_open(NULL, &session), "the broker");
	for (size_t i = 0; i < ROUNDS; i++) {
		single[i] = open_singly(session) / 1e6;
		burst[i] = open_in_a_burst(session) / 1e6;
	}
	vbroker_session_close(session);
	figure = figure_rounds("burst_24", "ms", burst, single, ROUNDS, 1.5);
	snprintf(figure.remark, sizeof figure.remark,
		"24 leases one after the other, against 24 single ones with a keeper in reserve");
	figure_add(&figure);
}
