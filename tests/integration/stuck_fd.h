/* SPDX-License-Identifier: MIT */
#ifndef STUCK_FD_H
#define STUCK_FD_H

#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A descriptor whose last close() waits: a TCP connection that lingers (SO_LINGER), with data that the other end does
 * not take. Whoever closes it last stands still for LINGER_S. (A process that ends does not: the kernel does not linger
 * there.)
 */

#define LINGER_S 20

/* The end that does not read, which has to stay open. Returns the other end. */
static inline int stuck_fd(int *ret_peer)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct linger linger = {.l_onoff = 1, .l_linger = LINGER_S};
	const int small = 4096;
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	static char bytes[65536];

	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	*ret_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_peer >= 0);
	close(listener);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, bytes, sizeof bytes) > 0)
		;
	/* Its own close() here must not be the last one. */
	return fd;
}

#endif
