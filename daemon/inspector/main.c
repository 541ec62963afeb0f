/* SPDX-License-Identifier: MIT */
#include "inspector.h"
#include "log.h"
#include "passed.h"
#include "sandbox_rules.h"

#include <stdlib.h>
#include <string.h>

/*
 * vfio-inspector: looks what the host does with a PCI device, for vfio-helper, which asks for vfio-brokerd. systemd
 * starts an inspector for each connection to vfio-inspector.socket (Accept=yes) and passes the connection. An inspector
 * answers one question and ends.
 */

/* 128 KiB; only pages touched are ever in memory. */
static struct packet request, reply;

static int enter_sandbox(void)
{
	struct sandbox_rule rules[SANDBOX_RULES_MAX];
	int count = sandbox_rules(&view_linux, rules);

	return count < 0 ? count : sandbox_enter(rules, (size_t)count);
}

int main(void)
{
	int channel = passed_channel();
	int r;

	if (channel < 0) {
		log_line(LOG_ERR,
			"vfio-inspector is started by vfio-inspector.socket, with one SOCK_SEQPACKET connection "
			"from vfio-helper as file descriptor 3 (LISTEN_FDS=1); there is none");
		return EXIT_FAILURE;
	}
	log_never_wait();
	r = enter_sandbox();
	if (r < 0) {
		log_line(LOG_ERR, "vfio-inspector: system call filter: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	packet_init(&request);
	packet_init(&reply);
	r = packet_receive(channel, 0, 0, &request);
	/* The broker has thought better of it. */
	if (r == PACKET_END)
		return EXIT_SUCCESS;
	if (r > 0)
		r = inspector_answer(&view_linux, &request, &reply);
	if (r == 0)
		r = packet_send(channel, 0, &reply);
	if (r < 0)
		log_line(LOG_ERR, "vfio-inspector: %s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
