/* SPDX-License-Identifier: MIT */
#include "footprint.h"
#include "foreign_fd.h"
#include "keeper.h"
#include "log.h"
#include "passed.h"
#include "sandbox_rules.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * vfio-keeper: holds one IOMMU group for vfio-brokerd. systemd starts a keeper for each connection to
 * vfio-keeper.socket (Accept=yes) and passes the connection; all other files of a keeper come over the connection.
 */

/* 192 KiB; only pages touched by requests are ever in memory. */
static struct keeper keeper;

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
