/* SPDX-License-Identifier: MIT */
#include "attack.h"

#include "message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS 200 /* of each that asks much */
#define PAYLOAD_MAX 64

int attack_connect(const char *path)
{
	const struct {
		struct message_header header;
		struct hello_request hello;
	} hello = {{COMMON_HELLO, 0, sizeof(struct hello_request), 1}, {0, MESSAGE_VERSION, MESSAGE_VERSION, 0}};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		perror(path);
		_exit(EXIT_FAILURE);
	}
	send(fd, &hello, sizeof hello, MSG_NOSIGNAL | MSG_DONTWAIT);
	return fd;
}

static bool ask(int fd, uint16_t type, size_t payload, const char *device)
{
	struct {
		struct message_header header;
		uint8_t payload[PAYLOAD_MAX];
	} request = {.header = {type, 0, (uint32_t)payload, 2}};

	if (type == BROKER_OPEN)
		memcpy(request.payload + offsetof(struct open_request, name), device,
			strnlen(device, DEVICE_NAME_SIZE - 1));
	return send(fd, &request, sizeof request.header + payload, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void churn(const char *path, const char *device)
{
	(void)device;
	for (;;)
		close(attack_connect(path));
}

/* Broken packets, each the end of a connection. */
static void garbage(const char *path, const char *device)
{
	(void)device;
	for (;;) {
		int fd = attack_connect(path);

		send(fd, "garbage", 7, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
	}
}

/* Many connections, on each of which as much is asked as goes in. */
static void ask_much(const char *path, uint16_t type, size_t payload, const char *device, bool reads)
{
	static int fds[CONNECTIONS];
	char bytes[4096];

	for (size_t i = 0; i < CONNECTIONS; i++)
		fds[i] = attack_connect(path);
	for (;;) {
		for (size_t i = 0; i < CONNECTIONS; i++) {
			for (int j = 0; j < 16 && ask(fds[i], type, payload, device); j++)
				;
			while (reads && recv(fds[i], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
				;
		}
	}
}

static void pings(const char *path, const char *device)
{
	ask_much(path, BROKER_PING, 0, device, true);
}

static void opens(const char *path, const char *device)
{
	ask_much(path, BROKER_OPEN, sizeof(struct open_request), device, true);
}

static void unread(const char *path, const char *device)
{
	ask_much(path, BROKER_LIST, sizeof(struct listing_request), device, false);
}

const struct attack attacks[ATTACKS] = {
	{"churn", churn},
	{"garbage", garbage},
	{"pings", pings},
	{"opens", opens},
	{"unread", unread},
};
