/* SPDX-License-Identifier: MIT */
/*
 * surprise SOCKET FILE: sends packets to the broker that carry file descriptors of FILE where none belong, and looks
 * after each whether the broker goes on: the sender gets an answer as without them, or is cut off, and others are
 * answered. Prints a line for each; exit code 1 if not.
 */
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 20000 // a busy host must not fail this
#define FDS_MAX	    253	  /* SCM_MAX_FD */

struct hello {
	struct message_header header;
	struct hello_request request;
};

static const struct hello hello = {
	.header = {.type = COMMON_HELLO, .length = sizeof(struct hello_request), .cookie = 1},
	.request = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION},
};

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static bool send_with_fds(int socket, const void *bytes, size_t size, int fd, size_t fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {(void *)bytes, size};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int) * fds)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
	for (size_t i = 0; i < fds; i++)
		memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
	if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0)
		return true;
	/* The receiver has the kernel refuse descriptors (SO_PASSRIGHTS, Linux 6.16). */
	if (errno == EPERM)
		return false;
	perror("sendmsg");
	exit(1);
}

/* What comes back within the time: "an answer", "the end" (a refusal may come before it), "nothing". */
static const char *hear(int socket)
{
	struct pollfd p = {.fd = socket, .events = POLLIN};
	union {
		struct message_header header;
		char bytes[4096];
	} packet;

	do {
		if (poll(&p, 1, PATIENCE_MS) != 1)
			return "nothing";
		if (recv(socket, packet.bytes, sizeof packet.bytes, MSG_DONTWAIT) <= 0)
			return "the end";
	} while (packet.header.flags & MESSAGE_REFUSED);
	return "an answer";
}

static int attempt(const char *path, const char *what, const void *bytes, size_t size, int fd, size_t fds)
{
	int sender = connect_to(path), other = connect_to(path);
	const char *heard, *others;

	heard = send_with_fds(sender, bytes, size, fd, fds) ? hear(sender) : "EPERM from the kernel";
	if (send(other, &hello, sizeof hello, MSG_NOSIGNAL) < 0)
		perror("send");
	others = hear(other);
	printf("%s: the sender gets %s, others get %s\n", what, heard, others);
	close(sender);
	close(other);
	return strcmp(heard, "nothing") != 0 && strcmp(others, "an answer") == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	int failures = 0, fd;

	if (argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[2]);
		return 2;
	}
	failures += attempt(argv[1], "HELLO with an fd", &hello, sizeof hello, fd, 1);
	failures += attempt(argv[1], "HELLO with 253 fds", &hello, sizeof hello, fd, FDS_MAX);
	failures += attempt(argv[1], "a byte with an fd", &hello, 1, fd, 1);
	failures += attempt(argv[1], "an empty packet with an fd", &hello, 0, fd, 1);
	return failures ? 1 : 0;
}
