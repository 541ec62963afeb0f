/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "figure.h"
#include "memory.h"
#include "processor.h"
#include "samples.h"
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MANY 10000

#define ROUNDS 40
#define CHUNK  500

/* For the daemons, which inherit it, and for the other ends of all connections here. */
static bool raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("RLIMIT_NOFILE");
	return limit.rlim_cur >= MANY + 500;
}

/* ---- memory without a client ---- */

static void bench_idle(const struct service *service)
{
	double keeper = (double)memory_pss(service_keeper(service));
	struct figure figure;

	figure = figure_number("broker_pss_kib", "KiB", (double)memory_pss(service->broker), 900);
	figure_add(&figure);
	figure = figure_number("keeper_pss_kib", "KiB", keeper, 300);
	figure_add(&figure);
	figure = figure_number("helper_pss_kib", "KiB", (double)memory_pss(service_helper(service)), keeper);
	snprintf(figure.remark, sizeof figure.remark, "a spare helper; at most a keeper's");
	figure_add(&figure);
}

/* ---- connections ---- */

/* Of the broker, which has the roll mapped nowhere: the roll is counted by its size. And of the front. */
static unsigned long memory_for_clients(const struct service *service, pid_t front)
{
	return memory_pss(service->broker) + memory_pss(front) + service_rolls(service) / 1024;
}

/* Growth by the connections made since BEFORE, in bytes each. */
static void add_growth(const struct service *service, pid_t front, unsigned long before, size_t connections)
{
	double bytes = (double)(memory_for_clients(service, front) - before) * 1024 / (double)connections;
	struct figure figure = figure_number("bytes_per_connection", "bytes", bytes, 400);

	figure_add(&figure);
}

static void connect_more(const struct service *service, struct vbroker_session **sessions, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		sessions[i] = service_connect(service);
	/* Another round trip on the last one: the broker has done all its work for the others. */
	must(vbroker_session_ping(sessions[to - 1]), "PING");
}

static void ping(void *session)
{
	must(vbroker_session_ping(session), "PING");
}

/* Among many connections to one broker, and alone with another. */
static void bench_ping(struct vbroker_session *among_many, struct vbroker_session *alone)
{
	const struct runner many = {ping, NULL, among_many}, one = {ping, NULL, alone};
	struct samples many_samples = {0}, one_samples = {0};
	struct figure figure;

	processor_pin_server(0);
	race(&one, &many, ROUNDS, CHUNK, &one_samples, &many_samples);
	figure = figure_durations("ping_10000_connections", &many_samples, &one_samples, 1.1);
	snprintf(figure.remark, sizeof figure.remark, "floor: PING of a broker with one connection");
	figure_add(&figure);
	samples_clear(&many_samples);
	samples_clear(&one_samples);
}

static void bench_many(const struct programs *programs, const struct service *service, const char *directory)
{
	struct vbroker_session **sessions = calloc(MANY, sizeof *sessions);
	struct vbroker_session *alone;
	struct service other;
	unsigned long before;
	struct figure figure;
	pid_t front;

	if (!sessions)
		die("out of memory");
	/* The first connection brings the code for it into memory; that is no growth. */
	connect_more(service, sessions, 0, 1);
	front = service_front(service);
	figure = figure_number(
		"front_pss_kib", "KiB", (double)memory_pss(front), (double)memory_pss(service_keeper(service)));
	snprintf(figure.remark, sizeof figure.remark, "with one connection; at most a keeper's");
	figure_add(&figure);
	before = memory_for_clients(service, front);
	connect_more(service, sessions, 1, MANY);
	add_growth(service, front, before, MANY - 1);

	service_start(&other, directory, programs->broker, programs->keeper, programs->front, programs->helper);
	alone = service_connect(&other);
	bench_ping(sessions[MANY / 2], alone);
	vbroker_session_close(alone);
	service_stop(&other);
	for (size_t i = 0; i < MANY; i++)
		vbroker_session_close(sessions[i]);
	free(sessions);
}

void bench_connections(const struct programs *programs, const char *directory, const char *other_directory)
{
	bool enough = raise_limit();
	struct service service;

	service_start(&service, directory, programs->broker, programs->keeper, programs->front, programs->helper);
	/*
	 * The keeper has started and answered HELLO by then, and the broker has given back what its start needed
	 * (IDLE_TRIM_US).
	 */
	sleep(3);
	bench_idle(&service);
	if (enough)
		bench_many(programs, &service, other_directory);
	else
		printf("skipped - %d connections: RLIMIT_NOFILE allows too few files (ulimit -Hn)\n", MANY);
	service_stop(&service);
}
