/* SPDX-License-Identifier: MIT */
/*
 * offender ATTACK DEVICE: attacks the broker until it is killed: what tests/bench/attack.h has, or "connections":
 * 10,000 of them, held. Prints "running" when it has begun; "connections" then says how many it has got. At a line on
 * stdin, each asks for the list of connections, the longest answer of all, as often as goes in, and reads nothing; it
 * says "asked" when no more goes in.
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

/* How long nothing must go in. */
#define BLOCKED_US 2000000

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

/* Returns how many requests went in. */
static unsigned int ask(const int *fds, size_t count)
{
	static const struct {
		struct message_header header;
		struct listing_request listing;
	} request = {{BROKER_SESSIONS, 0, sizeof(struct listing_request), 2}, {0}};
	unsigned int sent = 0;

	for (size_t i = 0; i < count; i++)
		sent += send(fds[i], &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
	return sent;
}

static void hold(void)
{
	static int fds[CONNECTIONS];
	struct rlimit limit;
	unsigned int kept = 0;
	char line[16];

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (size_t i = 0; i < CONNECTIONS; i++)
		fds[i] = attack_connect(VBROKER_SOCKET);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (is_welcome(fds[i]))
			fds[kept++] = fds[i];
	}
	printf("kept %u\n", kept);
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		return;
	do {
		while (ask(fds, kept) > 0)
			continue;
		usleep(BLOCKED_US);
	} while (ask(fds, kept) > 0);
	puts("asked");
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
