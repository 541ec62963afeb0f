/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "device.h"
#include "fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* sd_listen_fds(3) */
#define FIRST_FD 3

/* The number of the descriptor called NAME in NAMES, or -1. */
static int find(const char *names, const char *name)
{
	size_t length = strlen(name);

	for (int fd = FIRST_FD; names; fd++) {
		if (strncmp(names, name, length) == 0 && (names[length] == ':' || names[length] == '\0'))
			return fd;
		names = strchr(names, ':');
		if (names)
			names++;
	}
	return -1;
}

/* Colons part the names from each other: the address is written with dashes. */
static void device_fd_name(const char *address, char *buffer, size_t size)
{
	snprintf(buffer, size, "device-%s", address);
	for (char *c = buffer; *c; c++) {
		if (*c == ':')
			*c = '-';
	}
}

static int copy_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);

	return copy < 0 ? detail_set(-errno, "file descriptor %d was announced, but is not there", fd) : copy;
}

int vbroker_open_inherited(const char *names, const char *name, struct vbroker_device **ret_device)
{
	struct vbroker_domain *domain;
	struct vbroker_device *device;
	OWNED_FD copy = -1;
	char device_name[64];
	int device_fd, domain_fd = find(names, "domain");
	int r;

	detail_clear();
	device_fd_name(name, device_name, sizeof device_name);
	device_fd = find(names, device_name);
	if (device_fd < 0 || domain_fd < 0)
		return detail_set(-ENOENT, "no device channel %s with a domain channel was passed", device_name);
	copy = copy_of(domain_fd);
	if (copy < 0)
		return copy;
	r = vbroker_domain_adopt(copy, &domain);
	if (r != 0)
		return r;
	fd_take(&copy);
	copy = copy_of(device_fd);
	r = copy < 0 ? copy : vbroker_device_adopt(copy, &device);
	if (r != 0) {
		struct detail why = *detail_get();

		vbroker_domain_close(domain);
		return detail_set(r, "%s", why.text);
	}
	fd_take(&copy);
	device_take_domain(device, domain);
	*ret_device = device;
	return 0;
}
