/* SPDX-License-Identifier: MIT */
#include "footprint.h"
#include "log.h"
#include "orders.h"
#include "passed.h"
#include "sandbox_rules.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * vfio-helper: does for vfio-brokerd what may wait for somebody else. systemd starts a helper for each connection to
 * vfio-helper.socket (Accept=yes) and passes the connection.
 */

/* A helper without an order for so long gives its memory back. An OPEN is two orders, and the second is not to wait for
 * pages that the first order needed as well. */
#define TRIM_AFTER_MS 2000

/* 192 KiB; only pages touched by orders are ever in memory. */
static struct orders orders;

static int enter_sandbox(void)
{
	struct sandbox_rule rules[SANDBOX_RULES_MAX];
	int count = sandbox_rules(helper_hardware(), rules);

	return count < 0 ? count : sandbox_enter(rules, (size_t)count);
}

int main(void)
{
	int channel = passed_channel();
	sigset_t all, idle;
	int r;

	if (channel < 0) {
		log_line(LOG_ERR,
			"vfio-helper is started by vfio-helper.socket, with one SOCK_SEQPACKET connection "
			"from vfio-brokerd as file descriptor 3 (LISTEN_FDS=1); there is none");
		return EXIT_FAILURE;
	}
	/* A signal ends a helper only between orders. In the middle of an order the signal would make the kernel give
	 * up the answer, and nobody could tell the state of the device. The log may go away before the process
	 * does. */
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &idle);
	log_never_wait();
	r = enter_sandbox();
	if (r < 0) {
		log_line(LOG_ERR, "vfio-helper: system call filter: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	orders_init(&orders, helper_hardware(), channel);
	orders.idle_signals = &idle;
	log_line(LOG_DEBUG, "vfio-helper: ready");
	/* The broker holds a spare helper, which should be small. */
	do {
		if (!orders.awake)
			footprint_trim();
	} while (orders_step(&orders, orders.awake ? TRIM_AFTER_MS : -1));
	return EXIT_SUCCESS;
}
