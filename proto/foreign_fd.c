/* SPDX-License-Identifier: MIT */
#include "foreign_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTFD_LINK "anon_inode:[eventfd]"

/* Of the process: the directory /proc/self/fd. */
static int links = -1;

/* Per thread, like the packets that bring descriptors. */
static _Thread_local unsigned int kept;
static _Thread_local struct {
	size_t count;
	int fds[FDSET_MAX];
} left;

int foreign_fd_open_links(void)
{
	int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fd_cleanup(&links);
	links = fd;
	return 0;
}

static bool look(int fd, struct statx *ret_status)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, ret_status) == 0;
}

static bool is_path(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_PATH);
}

void foreign_fd_leave(int fd)
{
	if (left.count < FDSET_MAX)
		left.fds[left.count++] = fd;
	else
		foreign_fd_keep(fd);
}

size_t foreign_fd_left(int ret_fds[FDSET_MAX])
{
	size_t count = left.count;

	memcpy(ret_fds, left.fds, count * sizeof ret_fds[0]);
	left.count = 0;
	return count;
}

void foreign_fd_keep(int fd)
{
	(void)fd;
	kept++;
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
		if (links < 0)
			return "an eventfd, a VFIO device or the like";
		return foreign_fd_is_eventfd(fd) ? "an eventfd" : "an anonymous inode (a VFIO device or the like)";
	}
}

bool foreign_fd_is_eventfd(int fd)
{
	char name[16], link[sizeof EVENTFD_LINK];
	ssize_t length;

	if (links < 0 || fd < 0)
		return false;
	snprintf(name, sizeof name, "%d", fd);
	/* d_path() in fs/d_path.c: the kernel has all names at hand, and asks no file system. */
	length = readlinkat(links, name, link, sizeof link);
	return length == sizeof EVENTFD_LINK - 1 && memcmp(link, EVENTFD_LINK, (size_t)length) == 0;
}

bool foreign_fd_is_device(int fd, unsigned int major, unsigned int minor)
{
	struct statx status;

	return look(fd, &status) && S_ISCHR(status.stx_mode) && status.stx_rdev_major == major &&
		status.stx_rdev_minor == minor && !is_path(fd);
}
