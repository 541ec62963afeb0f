/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "container.h"
#include "domain.h"
#include "fdset.h"
#include "figure.h"
#include "floor.h"
#include "listing.h"
#include "opening.h"
#include "processor.h"
#include "samples.h"
#include "service.h"

#include <stdio.h>
#include <unistd.h>

#define ROUNDS 40
#define CHUNK  500

/* BAR 0; not one of the registers that do something. */
#define OFFSET 0x100

#define PROGRAM_LENGTH 256

/* One figure against the floor. */
static struct figure against_floor(
	const char *name, const struct runner *runner, size_t rounds, size_t chunk, double target)
{
	struct samples samples = {0}, floor = {0};
	struct figure figure;

	processor_pin_server(0);
	race(&floor_runner, runner, rounds, chunk, &floor, &samples);
	figure = figure_durations(name, &samples, &floor, target);
	samples_clear(&samples);
	samples_clear(&floor);
	return figure;
}

/* ---- ping ---- */

static void ping(void *session)
{
	must(vbroker_session_ping(session), "PING");
}

static void device_ping(void *device)
{
	must(vbroker_device_ping(device), "PING of a device");
}

static void bench_ping(struct vbroker_session *session)
{
	const struct runner runner = {ping, NULL, session};
	struct figure figure = against_floor("ping", &runner, ROUNDS, CHUNK, 2.3);

	snprintf(figure.remark, sizeof figure.remark, "through a front: two packets there, two back");
	figure_add(&figure);
	figure = against_floor("ping_bare_relay", &relay_runner, ROUNDS, CHUNK, -1);
	snprintf(figure.remark, sizeof figure.remark,
		"the same packets through a bare relay to a bare server, with epoll: what no front can beat");
	figure_add(&figure);
}

static void bench_device_ping(struct vbroker_device *device)
{
	const struct runner runner = {device_ping, NULL, device};
	struct figure figure = against_floor("ping_device", &runner, ROUNDS, CHUNK, 1.15);

	figure_add(&figure);
}

/* ---- registers ---- */

static void read_register(void *device)
{
	uint64_t value;

	must(vbroker_region_read(device, 0, OFFSET, 4, &value), "REGION_READ");
}

static void run_program(void *device)
{
	struct vbroker_op ops[PROGRAM_LENGTH];
	size_t done;

	for (size_t i = 0; i < PROGRAM_LENGTH; i++)
		ops[i] = (struct vbroker_op){.kind = VBROKER_OP_READ, .width = 4, .offset = OFFSET + 4 * i};
	must(vbroker_region_program(device, ops, PROGRAM_LENGTH, &done), "REGION_PROGRAM");
}

/* What the fake kernel needs for one access, by itself: median of many, in microseconds. */
static double access_cost(void)
{
	static const char *const names[] = {SERVICE_DEVICE, NULL};
	OWNED_FD container = fake_container_open(), group = fake_group_create(6, true, names);
	struct samples samples = {0};
	double cost;
	int device;

	if (container < 0 || group < 0 || fake_vfio.group_attach(group, container) < 0 ||
		fake_vfio.domain_setup(container) < 0 || (device = fake_vfio.device_get(group, SERVICE_DEVICE)) < 0)
		die("fake kernel");
	for (int round = 0; round < 1000; round++) {
		uint64_t start = now_ns();
		uint32_t value;

		for (int i = 0; i < PROGRAM_LENGTH; i++)
			fake_vfio.region_read(device, OFFSET + 4 * (uint64_t)i, &value, sizeof value);
		samples_add(&samples, now_ns() - start);
	}
	cost = samples_quantile(&samples, 0.5) / PROGRAM_LENGTH;
	samples_clear(&samples);
	fake_vfio.device_close(device);
	fake_vfio.group_detach(group);
	return cost;
}

static void bench_registers(struct vbroker_device *device)
{
	const struct runner read = {read_register, NULL, device}, program = {run_program, NULL, device};
	double access = access_cost();
	struct figure figure = against_floor("region_read", &read, ROUNDS, CHUNK, 1.2);

	figure_add(&figure);
	figure = against_floor("region_program_256_no_access", &program, ROUNDS, CHUNK / 10, 0.02);
	figure.decimals = 4;
	figure.value.p50 = figure.value.p50 / PROGRAM_LENGTH - access;
	figure.value.p99 = figure.value.p99 / PROGRAM_LENGTH - access;
	figure.ratio = figure.value.p50 / figure.floor.p50;
	snprintf(figure.remark, sizeof figure.remark,
		"one read of %d in a program, without the %.4f us of the fake kernel's access", PROGRAM_LENGTH, access);
	figure_add(&figure);
}

static void with_device(const struct service *service)
{
	struct vbroker_session *session = service_connect(service);
	struct vbroker_domain *domain;
	struct vbroker_device *device;

	service_await_spare(session);
	must(vbroker_device_open(session, SERVICE_DEVICE, &device), "OPEN");
	must(domain_open_on(&fake_domain, &domain), "opening a fake domain");
	must(vbroker_device_bind(device, domain), "BIND");
	bench_device_ping(device);
	bench_registers(device);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
}

void bench_latency(const struct programs *programs, const char *directory)
{
	struct vbroker_session *session;
	struct service service;

	service_start(&service, directory, programs->broker_fake, programs->keeper_fake, programs->front,
		programs->helper_fake);
	session = service_connect(&service);
	bench_ping(session);
	with_device(&service);
	/* A session of its own: the devices of another are released by now or soon. */
	bench_opening(&service, session);
	/* Last: the fake host has many devices from here on. */
	bench_listing(&service, session);
	vbroker_session_close(session);
	service_stop(&service);
}
