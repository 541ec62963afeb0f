/* SPDX-License-Identifier: MIT */
#include "foreign_fd.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Per thread, like the packets that bring descriptors. */
static _Thread_local unsigned int kept;
static _Thread_local bool (*trusted)(int fd);

static bool look(int fd, struct statx *ret_status)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, ret_status) == 0;
}

static bool is_path(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_PATH);
}

static bool is_local_socket(int fd)
{
	int domain = 0;
	socklen_t size = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

static bool can_block(int fd)
{
	struct statx status;

	/* A file system does not know of O_PATH descriptors. */
	if (!look(fd, &status) || is_path(fd))
		return false;
	switch (status.stx_mode & S_IFMT) {
	case S_IFSOCK:
		return !is_local_socket(fd);
	case S_IFIFO:
	case 0: /* anonymous inodes: eventfds and the like */
		return false;
	default:
		return true;
	}
}

void foreign_fd_close(int fd)
{
	if (can_block(fd) && !(trusted && trusted(fd)))
		kept++;
	else
		close(fd);
}

void foreign_fd_trust(bool (*is_harmless)(int fd))
{
	trusted = is_harmless;
}

unsigned int foreign_fd_kept(void)
{
	return kept;
}

const char *foreign_fd_name(int fd)
{
	struct statx status;

	if (!look(fd, &status))
		return "a closed descriptor";
	if (is_path(fd))
		return "a descriptor opened with O_PATH";
	switch (status.stx_mode & S_IFMT) {
	case S_IFSOCK:
		return "a socket (a device channel?)";
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a pipe";
	case S_IFBLK:
		return "a block device";
	case S_IFCHR:
		return "another character device";
	default:
		return "an eventfd, a VFIO device or the like";
	}
}

bool foreign_fd_is_eventfd(int fd)
{
	struct statx status;

	return look(fd, &status) && (status.stx_mode & S_IFMT) == 0;
}

bool foreign_fd_is_device(int fd, unsigned int major, unsigned int minor)
{
	struct statx status;

	return look(fd, &status) && S_ISCHR(status.stx_mode) && status.stx_rdev_major == major &&
		status.stx_rdev_minor == minor && !is_path(fd);
}
