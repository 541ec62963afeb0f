/* SPDX-License-Identifier: MIT */
#include "footprint.h"
#include "foreign_fd.h"
#include "keeper.h"
#include "log.h"
#include "sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * vfio-keeper: holds one IOMMU group for vfio-brokerd. systemd starts a keeper for each connection to
 * vfio-keeper.socket (Accept=yes) and passes the connection; all other files of a keeper come over the connection.
 *
 * The convention of sd_listen_fds(3) is followed here by hand, because libsystemd would cost each of many keepers more
 * memory than the whole keeper without it.
 */
#define LISTEN_FDS_START 3

/* 192 KiB; only pages touched by requests are ever in memory. */
static struct keeper keeper;

/* Returns the channel to the broker, or -1. */
static int passed_channel(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	int type = 0;
	socklen_t size = sizeof type;

	/* Sockets of another service, inherited through some other program, are not for this process. */
	if (!pid || !count || atol(pid) != getpid() || strcmp(count, "1") != 0)
		return -1;
	if (getsockopt(LISTEN_FDS_START, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		return -1;
	if (fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return LISTEN_FDS_START;
}

static int enter_sandbox(void)
{
	struct sandbox_rule rules[SANDBOX_RULES_MAX];
	int count = sandbox_rules(keeper_kernel(), rules);

	return count < 0 ? count : sandbox_enter(rules, (size_t)count);
}

int main(void)
{
	int channel = passed_channel();
	int r;

	if (channel < 0) {
		log_line(LOG_ERR,
			"vfio-keeper is started by vfio-keeper.socket, with one SOCK_SEQPACKET connection "
			"from vfio-brokerd as file descriptor 3 (LISTEN_FDS=1); there is none");
		return EXIT_FAILURE;
	}
	/* The log may go away before this process does. */
	signal(SIGPIPE, SIG_IGN);
	log_never_wait();
	/* The pauses of a POLL are shorter than 50 us, the kernel's usual rounding of sleeps. */
	prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
	r = foreign_fd_open_links();
	if (r < 0) {
		log_line(LOG_ERR, "vfio-keeper: /proc/self/fd: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	r = enter_sandbox();
	if (r < 0) {
		log_line(LOG_ERR, "vfio-keeper: system call filter: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	keeper_init(&keeper, keeper_kernel(), channel);
	log_line(LOG_DEBUG, "vfio-keeper: ready, on %s", keeper_kernel()->name);
	/* The broker holds keepers without a lease in reserve. Such a keeper is in no hurry, and should be small. */
	do {
		if (!keeper.leased)
			footprint_trim();
	} while (keeper_step(&keeper, -1));
	return EXIT_SUCCESS;
}
