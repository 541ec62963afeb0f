/* SPDX-License-Identifier: MIT */
#ifndef UNIT_H
#define UNIT_H

/* What cmocka.h wants to have been included, in its order, and what most unit tests need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

/* The file descriptors this process has open: equal before and after means that none was lost. */
static inline int unit_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 3; /* ".", ".." and the directory itself */
}

static inline void unit_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

#endif
