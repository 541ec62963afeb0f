/* SPDX-License-Identifier: MIT */
#include "fdset.h"

#include <errno.h>
#include <unistd.h>

void fd_cleanup(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void fdset_init(struct fdset *set)
{
	set->dispose = NULL;
	set->count = 0;
}

static void dispose(const struct fdset *set, int fd)
{
	if (set->dispose)
		set->dispose(fd);
	else
		close(fd);
}

void fdset_clear(struct fdset *set)
{
	int saved;

	if (set->count == 0)
		return;
	saved = errno;
	for (size_t i = 0; i < set->count; i++) {
		if (set->fds[i] >= 0)
			dispose(set, set->fds[i]);
	}
	set->count = 0;
	errno = saved;
}

int fdset_add(struct fdset *set, int fd)
{
	if (set->count >= FDSET_MAX) {
		dispose(set, fd);
		return -ENOSPC;
	}
	set->fds[set->count++] = fd;
	return 0;
}

int fdset_take(struct fdset *set, size_t i)
{
	int fd;

	if (i >= set->count)
		return -1;
	fd = set->fds[i];
	set->fds[i] = -1;
	return fd;
}
