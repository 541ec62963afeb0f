/* SPDX-License-Identifier: MIT */
#ifndef PROTO_FDSET_H
#define PROTO_FDSET_H

#include <stddef.h>

/* A local variable owning a file descriptor (-1: none); closes the descriptor at the end of its scope. */
#define OWNED_FD __attribute__((cleanup(fd_cleanup))) int
void fd_cleanup(int *fd);

/* Hands the descriptor on to the caller and leaves -1 behind. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* The kernel's own limit of file descriptors in one message (SCM_MAX_FD, include/net/scm.h). */
#define FDSET_MAX 253

/*
 * The file descriptors received with, or to be sent with, one packet. The set owns its descriptors: fdset_clear()
 * closes all entries except those taken out before. A taken entry reads -1.
 */
struct fdset {
	/* Closes an entry nobody took; NULL (after fdset_init()): close(2). A process that must never wait sets another
	 * function, because closing a file of a FUSE file system waits for its server. */
	void (*dispose)(int fd);
	size_t count;
	int fds[FDSET_MAX];
};

/* Makes an empty set of memory with any content. */
void fdset_init(struct fdset *set);

/* Closes all descriptors still owned and empties the set. errno is preserved. */
void fdset_clear(struct fdset *set);

/* Adds FD. The set takes FD, also on failure (FD is closed then). Returns 0 or -ENOSPC. */
int fdset_add(struct fdset *set, int fd);

/* Takes entry I out: the caller owns the result. Returns -1 if the entry does not exist or was taken before. */
int fdset_take(struct fdset *set, size_t i);

#endif
