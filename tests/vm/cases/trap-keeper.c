/* SPDX-License-Identifier: MIT */
/*
 * trap-keeper DEVICE KIND WHERE [SIBLING]: leases and binds DEVICE, after SIBLING, of the same group. Prints "bound:
 * waiting", and after a line on standard input gives its keeper a descriptor whose last reference waits for this
 * program, so for ever. Prints "sent", how long it took until the device's bus mastering was off, or that it stayed on,
 * and "trapped: waiting".
 *
 * KIND, what the last reference waits for: linger, fuse, userfaultfd as in trap.c, and
 *	local		linger, in the queue of a local socket
 *	epoll		(an eventfd) the lock of an epoll, whose reader waits for a page that does not come
 * WHERE: the number of a request that carries the descriptor, or "release": behind RELEASE.
 */
#include "clock.h"
#include "message.h"
#include "raw-client.h"
#include "table.h"
#include "trap-descriptor.h"
#include "trap-file.h"
#include "verdict.h"
#include "vfio-broker.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUIET_MAX_S 5
#define BUSY_US	    300000

/* ---- descriptors ---- */

static int make_local(void)
{
	int pair[2], inner = trap_descriptor_lingering();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
		raw_send(pair[0], COMMON_PING, NULL, 0, inner, 1) < 0)
		verdict_die("a local socket");
	close(inner);
	close(pair[0]);
	return pair[1];
}

/* Runs in a child, to its end; the page does not come. */
static _Noreturn void wait_in_epoll(int epoll)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, trap_file_open(0), 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (page == MAP_FAILED)
		verdict_die("a page");
	epoll_wait(epoll, page, 1, -1);
	_exit(1);
}

static int make_watched(void)
{
	int event = eventfd(1, EFD_CLOEXEC), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event in = {.events = EPOLLIN};

	if (event < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, event, &in) < 0)
		verdict_die("epoll");
	fflush(stdout);
	if (fork() == 0) {
		close(event);
		wait_in_epoll(epoll);
	}
	trap_file_await_read();
	return event;
}

static int make(const char *kind)
{
	int fd;

	if (strcmp(kind, "linger") == 0)
		return trap_descriptor_lingering();
	if (strcmp(kind, "local") == 0)
		return make_local();
	trap_file_mount((uid_t)-1);
	if (strcmp(kind, "userfaultfd") == 0) {
		trap_descriptor_userfaultfds(&fd, 1);
		return fd;
	}
	if (strcmp(kind, "epoll") == 0)
		return make_watched();
	return trap_file_open(0);
}

/* ---- the trap ---- */

/* The keeper is busy until this program has closed its copy of the descriptor. */
static void send_poll(int channel)
{
	const struct {
		struct program_request head;
		struct region_op op;
	} program = {{.count = 1}, {.kind = REGION_OP_POLL, .width = 4, .timeout_us = BUSY_US, .mask = UINT32_MAX}};

	if (raw_send(channel, DEVICE_REGION_PROGRAM, &program, sizeof program, -1, 0) < 0)
		verdict_die("a program of registers");
}

static void send_trap(int channel, const char *where, int fd)
{
	uint8_t payload[1024] = {0};
	const struct irq_request irq = {.index = 1, .count = 1};
	uint16_t type = strcmp(where, "release") == 0 ? COMMON_PING : (uint16_t)atoi(where);

	if (type == 0 || type >= device_table.count)
		exit(2);
	send_poll(channel);
	if (strcmp(where, "release") == 0 && raw_send(channel, DEVICE_RELEASE, NULL, 0, -1, 0) < 0)
		verdict_die("RELEASE");
	if (type == DEVICE_IRQ_SET)
		memcpy(payload, &irq, sizeof irq);
	if (raw_send(channel, type, payload, device_table.rules[type].size, fd, 1) < 0)
		verdict_die("the trap");
	close(fd);
}

static void wait_for_quiet(const char *device, uint64_t since)
{
	char path[128];
	uint16_t command = PCI_COMMAND_MASTER;
	int config;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/config", device);
	config = open(path, O_RDONLY | O_CLOEXEC);
	while ((command & PCI_COMMAND_MASTER) && clock_us() - since < QUIET_MAX_S * UINT64_C(1000000)) {
		if (config < 0 || pread(config, &command, sizeof command, PCI_COMMAND) != sizeof command)
			verdict_die(path);
	}
	if (command & PCI_COMMAND_MASTER)
		printf("bus mastering stayed on\n");
	else
		printf("quiet after %lld us\n", (long long)(clock_us() - since) - BUSY_US);
}

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, vbroker_refusal_name(r), vbroker_detail());
	exit(1);
}

static struct vbroker_device *bound(struct vbroker_session *session, const char *name, struct vbroker_domain *domain)
{
	struct vbroker_device *device;

	must(vbroker_device_open(session, name, &device), "OPEN");
	must(vbroker_device_bind(device, domain), "BIND");
	return device;
}

int main(int argc, char **argv)
{
	struct vbroker_session *session;
	struct vbroker_domain *domain;
	struct vbroker_device *device;
	uint64_t since;
	int channel, fd;

	if (argc != 4 && argc != 5)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* All processes of the trap can be ended at once. */
	setpgid(0, 0);
	/* A process that is not this one's server would have copies of what is opened before. */
	fd = make(argv[2]);
	must(vbroker_session_open(NULL, &session), "the broker");
	must(vbroker_domain_open(&domain), "a domain");
	if (argc == 5)
		bound(session, argv[4], domain);
	device = bound(session, argv[1], domain);
	channel = vbroker_device_fd(device);
	printf("bound: waiting\n");
	if (getchar() == EOF)
		return 1;
	since = clock_us();
	send_trap(channel, argv[3], fd);
	if (strcmp(argv[2], "fuse") == 0)
		trap_file_dirty(0);
	printf("sent\n");
	if (strcmp(argv[2], "epoll") != 0)
		wait_for_quiet(argv[1], since);
	else
		usleep(2 * BUSY_US);
	printf("trapped: waiting\n");
	for (;;)
		pause();
}
