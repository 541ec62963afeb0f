/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include "fdset.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

int connection_open(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	OWNED_FD fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return -errno;
	return fd_take(&fd);
}

void connection_refuse_fds(int fd)
{
	const int none = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &none, sizeof none);
}

void connection_limit_queue(int fd)
{
	const int half = CONNECTION_QUEUE / 2;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof half);
}
