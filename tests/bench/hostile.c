/* SPDX-License-Identifier: MIT */
#include "attack.h"
#include "bench.h"
#include "figure.h"
#include "processor.h"
#include "samples.h"
#include "service.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What one user's attacks cost another user: its PINGs under attack, against the same without one. The floor is what
 * the same attack does to a bare server of 64-byte echoes (epoll, one request at a turn), which knows no users: part
 * of it is the processors' and the kernel's, and no server can do anything about it.
 *
 * The servers have one processor; the one who measures has the other, with the keeper of the device; the offenders
 * have what the others leave them of both (SCHED_IDLE). With a full share of them they would only show the
 * scheduler's time slice, of 4 ms on two processors: also the keeper's client waits so long, though no offender ever
 * speaks to a keeper.
 *
 * A processor of a virtual machine that has been idle takes long to wake, now more and now less; so it goes in
 * rounds, and the ratio is the median of the rounds' ratios.
 *
 * The offender's connections are limited by the policy (service.c), as the manual page advises against churn.
 */

#define OFFENDER     SERVICE_LIMITED
#define OFFENDERS    2
#define PINGS_MIN    100
#define MEASURE_NS   UINT64_C(500000000)
#define ROUNDS	     5
#define PACKET_BYTES 64

/* A server under attack, and a PING of somebody else. */
struct target {
	const char *socket;

	void (*ping)(void *context);
	void *context;
};

/* ---- the bare server ---- */

static void serve_one(int epoll, int fd)
{
	char bytes[PACKET_BYTES];
	ssize_t length = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (length == 0 || (length < 0 && errno != EAGAIN)) {
		close(fd);
		return;
	}
	if (length > 0 && send(fd, bytes, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
		event.events = 0; /* who does not read is not read */
	if (event.events == 0)
		epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

static void serve(int listener)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	while (epoll_wait(epoll, &event, 1, -1) >= 0) {
		struct epoll_event one = {.events = EPOLLIN};

		if (event.data.fd != listener) {
			serve_one(epoll, event.data.fd);
			continue;
		}
		one.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (one.data.fd >= 0)
			epoll_ctl(epoll, EPOLL_CTL_ADD, one.data.fd, &one);
	}
}

static pid_t start_bare(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0 ||
		chmod(path, 0666) < 0)
		die("%s", path);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		processor_pin_server(0);
		serve(fd);
		_exit(EXIT_FAILURE);
	}
	close(fd);
	return pid;
}

/* ---- offenders ---- */

static pid_t start_offender(const struct attack *attack, const struct target *target)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		processor_pin_none(0);
		if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}) < 0 || setgroups(0, NULL) < 0 ||
			setresgid(OFFENDER, OFFENDER, OFFENDER) < 0 || setresuid(OFFENDER, OFFENDER, OFFENDER) < 0)
			_exit(EXIT_FAILURE);
		/* After it: another user has another idea of it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attack->run(target->socket, SERVICE_DEVICE);
	}
	return pid;
}

/* ---- measuring ---- */

static struct spread measure(void (*ping)(void *context), void *context)
{
	struct samples samples = {0};
	struct spread spread;
	uint64_t begin = now_ns();

	while (samples.count < PINGS_MIN || now_ns() - begin < MEASURE_NS) {
		uint64_t start = now_ns();

		ping(context);
		samples_add(&samples, now_ns() - start);
		/* Somebody who comes now and then: back to back, it would only measure who has the processor. */
		usleep(200);
	}
	spread = (struct spread){samples_quantile(&samples, 0.5), samples_quantile(&samples, 0.99)};
	samples_clear(&samples);
	return spread;
}

static void session_ping(void *session)
{
	must(vbroker_session_ping(session), "PING");
}

static void device_ping(void *device)
{
	must(vbroker_device_ping(device), "PING of a device");
}

static void bare_ping(void *context)
{
	int fd = *(int *)context;
	char bytes[PACKET_BYTES] = {0};

	if (send(fd, bytes, sizeof bytes, 0) < 0 || recv(fd, bytes, sizeof bytes, 0) < 0)
		die("the bare server has gone");
}

struct result {
	struct spread ping, device; /* the second only if there is one */
};

/* DEVICE may be NULL. */
static struct result measure_under(
	const struct attack *attack, const struct target *target, struct vbroker_device *device)
{
	pid_t pids[OFFENDERS];
	struct result result = {0};

	for (int i = 0; attack && i < OFFENDERS; i++)
		pids[i] = start_offender(attack, target);
	if (attack)
		usleep(200000);
	result.ping = measure(target->ping, target->context);
	if (device)
		result.device = measure(device_ping, device);
	for (int i = 0; attack && i < OFFENDERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	/* The server gets rid of them. */
	usleep(300000);
	target->ping(target->context);
	return result;
}

/* One round's: with and without the attack. */
struct pair {
	struct spread attacked, idle;
};

static double median_ratio(const struct pair pairs[ROUNDS])
{
	double ratios[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		ratios[i] = pairs[i].attacked.p99 / pairs[i].idle.p99;
	return median(ratios, ROUNDS);
}

static struct spread median_spread(const struct pair pairs[ROUNDS], bool attacked)
{
	double p50[ROUNDS], p99[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		const struct spread *spread = attacked ? &pairs[i].attacked : &pairs[i].idle;

		p50[i] = spread->p50;
		p99[i] = spread->p99;
	}
	return (struct spread){median(p50, ROUNDS), median(p99, ROUNDS)};
}

static void add(const char *name, const struct pair pairs[ROUNDS], double floor)
{
	struct spread attacked = median_spread(pairs, true), idle = median_spread(pairs, false);
	struct figure figure = figure_number(name, "x", median_ratio(pairs), 1.5);

	figure.decimals = 2;
	figure.floor = (struct spread){floor, -1};
	figure.ratio = figure.value.p50 / floor;
	snprintf(figure.remark, sizeof figure.remark,
		"p50 %.0f, idle %.0f us; p99 %.0f, idle %.0f us; floor: a bare server's", attacked.p50, idle.p50,
		attacked.p99, idle.p99);
	figure_add(&figure);
}

static void compare(const struct target *target, const struct target *bare, struct vbroker_device *device)
{
	static char names[ATTACKS][2][40];

	for (size_t i = 0; i < ATTACKS; i++) {
		struct pair pings[ROUNDS], device_pings[ROUNDS], bare_pings[ROUNDS];

		/* In turns, so that whatever else the machine does meets all. */
		for (int round = 0; round < ROUNDS; round++) {
			struct result bare_idle = measure_under(NULL, bare, NULL);
			struct result bare_attacked = measure_under(&attacks[i], bare, NULL);
			struct result idle = measure_under(NULL, target, device);
			struct result attacked = measure_under(&attacks[i], target, device);

			pings[round] = (struct pair){attacked.ping, idle.ping};
			device_pings[round] = (struct pair){attacked.device, idle.device};
			bare_pings[round] = (struct pair){bare_attacked.ping, bare_idle.ping};
		}
		snprintf(names[i][0], sizeof names[i][0], "hostile_%s", attacks[i].name);
		snprintf(names[i][1], sizeof names[i][1], "hostile_%s_device", attacks[i].name);
		add(names[i][0], pings, median_ratio(bare_pings));
		add(names[i][1], device_pings, median_ratio(bare_pings));
	}
}

void bench_hostile(const struct programs *programs, const char *directory)
{
	struct target target = {.ping = session_ping};
	struct target bare = {.ping = bare_ping};
	struct vbroker_session *session;
	struct vbroker_device *device;
	struct service service;
	char parent[sizeof service.directory], path[sizeof service.directory + 16];
	pid_t pid;
	int fd;

	service_start(&service, directory, programs->broker_fake, programs->keeper_fake, programs->front,
		programs->helper_fake);
	snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(directory, '/') - directory), directory);
	if (chmod(parent, 0711) < 0 || chmod(directory, 0711) < 0)
		die("%s", directory);
	snprintf(path, sizeof path, "%s/bare.sock", directory);
	pid = start_bare(path);
	session = service_connect(&service);
	service_await_spare(session);
	processor_pin_away(service_keeper(&service));
	must(vbroker_device_open(session, SERVICE_DEVICE, &device), "OPEN");
	target.socket = service.socket;
	target.context = session;
	bare.socket = path;
	fd = attack_connect(bare.socket);
	bare.context = &fd;
	bare_ping(&fd);
	recv(fd, path, 0, 0); /* its HELLO came back, too */
	processor_pin_away(0);
	compare(&target, &bare, device);
	processor_pin_server(0);
	vbroker_device_close(device);
	vbroker_session_close(session);
	close(fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	service_stop(&service);
}
