/* SPDX-License-Identifier: MIT */
/*
 * offender ATTACK DEVICE: attacks the broker until it is killed: what tests/bench/attack.h has, or "connections":
 * 10,000 of them, held. Prints "running" when it has begun; "connections" then says how many it has got.
 */
#include "attack.h"
#include "message.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vfio-broker.h>

#define CONNECTIONS 10000

/* The first answer is to HELLO, or says why not. */
static bool is_welcome(int fd)
{
	union {
		struct message_header header;
		char bytes[4096];
	} packet;
	ssize_t length = recv(fd, packet.bytes, sizeof packet.bytes, 0);

	return length >= (ssize_t)sizeof packet.header && !(packet.header.flags & MESSAGE_REFUSED);
}

static void hold(void)
{
	static int fds[CONNECTIONS];
	struct rlimit limit;
	unsigned int kept = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (size_t i = 0; i < CONNECTIONS; i++)
		fds[i] = attack_connect(VBROKER_SOCKET);
	for (size_t i = 0; i < CONNECTIONS; i++)
		kept += is_welcome(fds[i]);
	printf("kept %u\n", kept);
	fflush(stdout);
	pause();
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: offender ATTACK DEVICE\n", stderr);
		return 2;
	}
	puts("running");
	fflush(stdout);
	if (strcmp(argv[1], "connections") == 0)
		hold();
	for (size_t i = 0; i < ATTACKS; i++) {
		if (strcmp(argv[1], attacks[i].name) == 0)
			attacks[i].run(VBROKER_SOCKET, argv[2]);
	}
	fprintf(stderr, "offender: there is no attack '%s'\n", argv[1]);
	return 2;
}
