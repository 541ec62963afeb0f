/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "container.h"
#include "domain.h"
#include "fdset.h"
#include "figure.h"
#include "floor.h"
#include "processor.h"
#include "samples.h"
#include "service.h"
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 40
#define CHUNK  500

/* BAR 0; not one of the registers that do something. */
#define OFFSET 0x100

#define PROGRAM_LENGTH 256

/* An OPEN needs a keeper started for the next one, so there are fewer. */
#define OPEN_ROUNDS 20
#define OPEN_CHUNK  8

static const char *unmet_cross = "there is one processor only: nothing across cores";

/* One figure against the floor, on one core and across two. */
static struct figure against_floor(
	const char *name, const struct runner *runner, size_t rounds, size_t chunk, double target)
{
	struct samples same = {0}, same_floor = {0}, cross = {0}, cross_floor = {0};
	struct figure figure;

	processor_pin_server(0);
	race(&floor_runner, runner, rounds, chunk, &same_floor, &same);
	if (processor_two()) {
		processor_pin_away(0);
		race(&floor_runner, runner, rounds, chunk, &cross_floor, &cross);
		processor_pin_server(0);
	}
	figure = figure_durations(name, &same, &same_floor, &cross, &cross_floor, target);
	if (!processor_two())
		snprintf(figure.remark, sizeof figure.remark, "%s", unmet_cross);
	samples_clear(&same);
	samples_clear(&same_floor);
	samples_clear(&cross);
	samples_clear(&cross_floor);
	return figure;
}

/* ---- ping ---- */

static void ping(void *session)
{
	must(vbroker_session_ping(session), "PING");
}

static void bench_ping(struct vbroker_session *session)
{
	const struct runner runner = {ping, NULL, session};
	struct figure figure = against_floor("ping", &runner, ROUNDS, CHUNK, 1.15);

	figure_add(&figure);
}

static void bench_loop(void)
{
	struct figure figure = against_floor("event_loop", &floor_loop_runner, ROUNDS, CHUNK, -1);

	snprintf(figure.remark, sizeof figure.remark,
		"bare epoll_wait, recvmsg, send under a system call filter: the least for any such server");
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

static struct spread per_element(struct spread spread, double access)
{
	if (spread.p50 < 0)
		return spread;
	return (struct spread){spread.p50 / PROGRAM_LENGTH - access, spread.p99 / PROGRAM_LENGTH - access};
}

static void add_program(const char *name, struct figure figure, double access, double target, const char *remark)
{
	figure.name = name;
	figure.decimals = 4;
	figure.same = per_element(figure.same, access);
	figure.cross = per_element(figure.cross, access);
	figure.ratio = figure.same.p50 / figure.same_floor.p50;
	figure.target = target;
	snprintf(figure.remark, sizeof figure.remark, "%s", remark);
	figure_add(&figure);
}

static void bench_registers(struct vbroker_device *device)
{
	const struct runner read = {read_register, NULL, device}, program = {run_program, NULL, device};
	double access = access_cost();
	char remark[96];
	struct figure figure = against_floor("region_read", &read, ROUNDS, CHUNK, 1.2);

	figure_add(&figure);
	figure = against_floor("", &program, ROUNDS, CHUNK / 10, -1);
	snprintf(remark, sizeof remark, "one read of %d in a program: a 256th of the whole round trip", PROGRAM_LENGTH);
	add_program("region_program_256", figure, 0, -1, remark);
	snprintf(remark, sizeof remark, "the same without the %.4f us that the fake kernel's access costs by itself",
		access);
	add_program("region_program_256_no_access", figure, access, 0.02, remark);
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
	bench_registers(device);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
}

/* ---- OPEN ---- */

struct opening {
	struct vbroker_session *session;
	int channel;
};

static void open_device(void *context)
{
	struct opening *opening = context;

	must(session_lease(opening->session, SERVICE_DEVICE, &opening->channel), "OPEN");
}

/* Until the group is free again and the next keeper has started. */
static void release_device(void *context)
{
	struct opening *opening = context;
	struct vbroker_device_entry *entries;
	bool free_again;
	size_t count;

	close(opening->channel);
	do {
		usleep(500);
		must(vbroker_session_list(opening->session, &entries, &count), "LIST");
		free_again = count == 1 && entries[0].state == VBROKER_STATE_FREE;
		free(entries);
	} while (!free_again);
	service_await_spare(opening->session);
}

static void bench_open(struct vbroker_session *session)
{
	struct opening opening = {session, -1};
	const struct runner runner = {open_device, release_device, &opening};
	struct figure figure;

	service_await_spare(session);
	figure = against_floor("open_device", &runner, OPEN_ROUNDS, OPEN_CHUNK, -1);
	snprintf(figure.remark, sizeof figure.remark,
		"OPEN until its reply with the device channel, with a keeper in reserve");
	figure_add(&figure);
}

void bench_latency(const struct programs *programs, const char *directory)
{
	struct vbroker_session *session;
	struct service service;

	service_start(&service, directory, programs->broker_fake, programs->keeper_fake);
	session = service_connect(&service);
	bench_loop();
	bench_ping(session);
	with_device(&service);
	/* A session of its own: the devices of another are released by now or soon. */
	bench_open(session);
	vbroker_session_close(session);
	service_stop(&service);
}
