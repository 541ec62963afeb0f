/* SPDX-License-Identifier: MIT */
#ifndef PROTO_FDSET_H
#define PROTO_FDSET_H

#include <stddef.h>

/* A local variable that owns a file descriptor (-1: none) and closes it when it goes out of scope. */
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
 * The file descriptors that came with, or go with, one packet. The set owns them: what is in it is closed by
 * fdset_clear(), unless somebody took it out before. An entry that was taken reads -1.
 */
struct fdset {
	/* What happens to those that nobody took: NULL (after fdset_init()) for close(2). A process that must never wait
	 * has something else, because closing a file of a FUSE file system waits for its server. */
	void (*dispose)(int fd);
	size_t count;
	int fds[FDSET_MAX];
};

/* Makes an empty set of memory whose content does not matter. */
void fdset_init(struct fdset *set);

/* Closes what the set still owns and empties it. errno is preserved. */
void fdset_clear(struct fdset *set);

/* Adds FD, which belongs to the set from then on, also on failure (then it is closed). Returns 0 or -ENOSPC. */
int fdset_add(struct fdset *set, int fd);

/* Takes entry I out: the caller owns the result. Returns -1 if there is no such entry or it was taken before. */
int fdset_take(struct fdset *set, size_t i);

#endif
