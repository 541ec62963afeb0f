/* SPDX-License-Identifier: MIT */
#include "footprint.h"
#include "front.h"
#include "log.h"
#include "passed.h"
#include "sandbox_rules.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * vfio-front: holds the connections of one owner's clients for vfio-brokerd. systemd starts a front for each connection
 * to vfio-front.socket (Accept=yes) and passes the connection, the life line; all else comes over the socket that the
 * broker's HELLO brings.
 */

/* A front without clients gives its memory back after so long without an event: a client that connects again and again
 * would have the front fetch the same pages each time. */
#define TRIM_AFTER_MS 2000

/* 192 KiB; only pages touched by packets are ever in memory. */
static struct front front;

int main(void)
{
	int lifeline = passed_channel();
	int r;

	if (lifeline < 0) {
		log_line(LOG_ERR,
			"vfio-front is started by vfio-front.socket, with one SOCK_SEQPACKET connection "
			"from vfio-brokerd as file descriptor 3 (LISTEN_FDS=1); there is none");
		return EXIT_FAILURE;
	}
	/* The log may go away before this process does. */
	signal(SIGPIPE, SIG_IGN);
	log_never_wait();
	r = front_init(&front, lifeline);
	if (r == 0)
		r = sandbox_enter(sandbox_rules, sandbox_rules_count);
	if (r < 0) {
		log_line(LOG_ERR, "vfio-front: epoll or system call filter: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	/* The broker holds a front without clients in reserve. Such a front should be small. */
	do {
		if (front.sessions_count == 0 && !front.awake)
			footprint_trim();
	} while (front_step(&front, front.sessions_count == 0 && front.awake ? TRIM_AFTER_MS : -1));
	/* No front_release(): the kernel closes the rest, after the broker and all clients have seen the end. */
	return EXIT_SUCCESS;
}
