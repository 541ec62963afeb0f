/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "device.h"
#include "domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The type of a bare file descriptor, as far as the kernel can tell without asking a server behind the file. */
enum thing {
	THING_OTHER,
	THING_CHANNEL, /* of some kind: HELLO will tell */
	THING_DOMAIN,
};

static enum thing classify(int fd)
{
	if (requester_is_channel(fd))
		return THING_CHANNEL;
	return domain_is_domain(fd) ? THING_DOMAIN : THING_OTHER;
}

static const char *kind_of_file(int fd)
{
	struct statx s;

	/* Without AT_STATX_DONT_SYNC, a file on FUSE could keep us waiting. */
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &s) < 0)
		return errno == EBADF ? "not open" : "unknown";
	switch (s.stx_mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
		return "a character device";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket of another kind";
	default:
		return "something else";
	}
}

static int bind_pair(int channel, int domain)
{
	struct requester *requester = malloc(sizeof *requester);
	int r;

	if (!requester)
		return -ENOMEM;
	requester_init(requester, channel, &device_table);
	r = device_greet(requester);
	if (r == 0)
		r = device_send_bind(requester, domain);
	requester_clear(requester);
	free(requester);
	return r;
}

/*
 * The types of the two descriptors tell the device from the domain, not their order. Both types are known before the
 * first packet is sent.
 */
int vbroker_bind_fds(int fd, int other_fd)
{
	enum thing thing = classify(fd);
	enum thing other = classify(other_fd);

	detail_clear();
	if (thing == THING_CHANNEL && other == THING_DOMAIN)
		return bind_pair(fd, other_fd);
	if (thing == THING_DOMAIN && other == THING_CHANNEL)
		return bind_pair(other_fd, fd);
	if (thing == THING_DOMAIN && other == THING_DOMAIN)
		return detail_set(
			REFUSAL_NOT_A_DEVICE, "file descriptors %d and %d are both IOMMU domains", fd, other_fd);
	if (thing == THING_CHANNEL && other == THING_CHANNEL)
		return detail_set(REFUSAL_NOT_A_DOMAIN, "file descriptors %d and %d are both channels", fd, other_fd);
	if (thing == THING_CHANNEL || other == THING_CHANNEL) {
		int wrong = thing == THING_CHANNEL ? other_fd : fd;

		return detail_set(REFUSAL_NOT_A_DOMAIN, "file descriptor %d is %s, not an IOMMU domain", wrong,
			kind_of_file(wrong));
	}
	if (thing == THING_DOMAIN || other == THING_DOMAIN) {
		int wrong = thing == THING_DOMAIN ? other_fd : fd;

		return detail_set(REFUSAL_NOT_A_DEVICE, "file descriptor %d is %s, not a device channel", wrong,
			kind_of_file(wrong));
	}
	return detail_set(REFUSAL_NOT_A_DEVICE, "file descriptor %d is %s and %d is %s", fd, kind_of_file(fd), other_fd,
		kind_of_file(other_fd));
}
