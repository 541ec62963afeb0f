/* SPDX-License-Identifier: MIT */
#include "passed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_FDS_START 3

int passed_channel(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	int type = 0;
	socklen_t size = sizeof type;

	/* Sockets of another service, inherited through some other program, are not for this process. */
	if (!pid || !count || atol(pid) != getpid() || strcmp(count, "1") != 0)
		return -1;
	if (getsockopt(LISTEN_FDS_START, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		return -1;
	if (fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return LISTEN_FDS_START;
}
