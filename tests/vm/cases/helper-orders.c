/* SPDX-License-Identifier: MIT */
/*
 * helper-orders SOCKET ORDER [ARGUMENT...]: gives one order to a vfio-helper, as the broker does, and prints the
 * answer.
 *
 *	look NAME GROUP			"ERROR NODE_ERROR IDS COMMAND"; GROUP "-": the configuration space only
 *	override NAME			"ERROR DRIVER"
 *	set-override NAME [DRIVER]	"ERROR", as the following
 *	unbind NAME DRIVER
 *	bind NAME DRIVER
 *	quiet NAME
 *	reset NAME
 *	lease NAME GROUP		"ERROR", then a line for each file that the keeper gets; then it holds the files
 *					until the end of standard input
 *	hold				the helper's "PID UID"; until the end of standard input there is no order
 *
 * Exit code 1: there was no answer.
 */
#include "helper_message.h"
#include "packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct packet packet;
static int helper;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static void connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	helper = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (helper < 0 || connect(helper, (struct sockaddr *)&address, sizeof address) < 0)
		die(path);
}

/* Sends the packet and returns the payload of the answer. */
static const void *answer(size_t size)
{
	const void *body;
	struct detail detail;

	if (packet_send(helper, 0, &packet) < 0 || packet_receive(helper, 0, 0, &packet) != PACKET_RECEIVED)
		die("no answer");
	body = packet_body(&packet, size);
	if (!body || (packet.header.flags & MESSAGE_REFUSED)) {
		packet_refusal(&packet, &detail);
		fprintf(stderr, "refused: %s\n", detail.text);
		exit(1);
	}
	return body;
}

static struct helper_hello_reply hello(void)
{
	struct hello_request *request;

	packet_init(&packet);
	packet_request(&packet, HELPER_HELLO, 1);
	request = packet_append(&packet, sizeof *request);
	request->version_lowest = request->version_highest = MESSAGE_VERSION;
	return *(const struct helper_hello_reply *)answer(sizeof(struct helper_hello_reply));
}

static struct helper_reply order(uint16_t type, const char *name, const char *driver, const char *group)
{
	struct helper_order *request;

	packet_request(&packet, type, 1);
	request = packet_append(&packet, sizeof *request);
	snprintf(request->name, sizeof request->name, "%s", name);
	snprintf(request->driver, sizeof request->driver, "%s", driver ? driver : "");
	if (type == HELPER_LOOK) {
		request->flags = HELPER_LOOK_IDS | (*group == '-' ? 0 : HELPER_LOOK_NODE);
		request->group = (uint32_t)strtoul(group, NULL, 10);
	}
	return *(const struct helper_reply *)answer(sizeof(struct helper_reply));
}

static void hold(void)
{
	fflush(stdout);
	while (getchar() != EOF)
		;
}

static void print_file(int fd)
{
	char path[64], target[256];
	ssize_t length;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof target - 1);
	target[length < 0 ? 0 : length] = '\0';
	target[strcspn(target, "[")] = '\0'; /* the number of a socket */
	puts(target);
}

static void lease(const char *name, const char *group)
{
	struct lease_request *request;
	int keeper[2], device[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, keeper) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, device) < 0)
		die("socketpair");
	packet_request(&packet, HELPER_LEASE, 1);
	request = packet_append(&packet, sizeof *request);
	request->flags = LEASE_GROUP;
	request->group = (uint32_t)strtoul(group, NULL, 10);
	snprintf(request->name, sizeof request->name, "%s", name);
	fdset_add(&packet.fds, keeper[1]);
	fdset_add(&packet.fds, device[1]);
	printf("%u\n", ((const struct helper_reply *)answer(sizeof(struct helper_reply)))->error);
	/* The keeper's channel was handed on, and the helper has closed its copy: the end comes after the packet. */
	while (packet_receive(keeper[0], 0, 1, &packet) == PACKET_RECEIVED) {
		for (size_t i = 0; i < packet.fds.count; i++)
			print_file(packet.fds.fds[i]);
		hold();
	}
}

static int serve(int count, char **arguments)
{
	static const struct {
		const char *word;
		uint16_t type;
		int count_min, count_max;
	} orders[] = {
		{"look", HELPER_LOOK, 3, 3},
		{"override", HELPER_OVERRIDE_GET, 2, 2},
		{"set-override", HELPER_OVERRIDE_SET, 2, 3},
		{"unbind", HELPER_UNBIND, 3, 3},
		{"bind", HELPER_BIND, 3, 3},
		{"quiet", HELPER_QUIET, 2, 2},
		{"reset", HELPER_RESET, 2, 2},
		{"probe", HELPER_PROBE, 2, 2},
	};
	struct helper_reply reply;

	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		if (strcmp(orders[i].word, arguments[0]) != 0 || count < orders[i].count_min ||
			count > orders[i].count_max)
			continue;
		reply = order(orders[i].type, arguments[1],
			count == 3 && orders[i].type != HELPER_LOOK ? arguments[2] : NULL, arguments[2]);
		if (orders[i].type == HELPER_LOOK)
			printf("%u %u %08x %08x\n", reply.error, reply.node_error, reply.ids, reply.command);
		else if (orders[i].type == HELPER_OVERRIDE_GET)
			printf("%u %s\n", reply.error, reply.driver);
		else
			printf("%u\n", reply.error);
		return 0;
	}
	fprintf(stderr, "helper-orders: wrong usage\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct helper_hello_reply who;

	if (argc < 3)
		return 2;
	connect_to(argv[1]);
	who = hello();
	if (strcmp(argv[2], "hold") == 0) {
		printf("%u %u\n", who.pid, who.uid);
		hold();
		return 0;
	}
	if (strcmp(argv[2], "lease") == 0 && argc == 5) {
		lease(argv[3], argv[4]);
		return 0;
	}
	return serve(argc - 2, argv + 2);
}
