/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "kernel_row.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Rows of groups and containers. */

/* ---- groups and containers ---- */

static long status_viable(struct ground *g)
{
	uint32_t flags = 0;
	int r = vfio(g)->group_status(g->group, &flags);

	return r < 0 ? r : (long)flags;
}

static long not_viable_status(struct ground *g)
{
	uint32_t flags = 0;
	int r = g->machine->not_viable.fd < 0 ? 0 : vfio(g)->group_status(g->machine->not_viable.fd, &flags);

	return g->machine->not_viable.fd < 0 ? SKIPPED : r < 0 ? r : (long)flags;
}

static long not_viable_attach(struct ground *g)
{
	int group = g->machine->not_viable.fd;

	return group < 0 ? SKIPPED : vfio(g)->group_attach(group, g->container);
}

static long check_container(struct ground *g)
{
	return vfio(g)->domain_check(g->container);
}

static long check_path(struct ground *g)
{
	char name[64];
	OWNED_FD fd = -1;

	snprintf(name, sizeof name, "/proc/self/fd/%d", g->container);
	fd = open(name, O_PATH | O_CLOEXEC);

	return fd < 0 ? fd : vfio(g)->domain_check(fd);
}

static long check_strangers(struct ground *g)
{
	OWNED_FD event = eventfd(0, EFD_CLOEXEC);
	OWNED_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
	OWNED_FD file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	OWNED_FD folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWNED_FD socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool (*check)(int) = vfio(g)->domain_check;

	return check(event) + check(null) + check(file) + check(folder) + check(socket_fd) + check(g->group) +
		check(-1);
}

static long same_domain(struct ground *g)
{
	OWNED_FD copy = fcntl(g->container, F_DUPFD_CLOEXEC, 3);
	OWNED_FD other = g->machine->domain->open();

	return vfio(g)->domain_same(g->container, copy) + 2 * vfio(g)->domain_same(g->container, other);
}

static long ready(struct ground *g)
{
	return vfio(g)->domain_ready(g->container);
}

static long setup(struct ground *g)
{
	return vfio(g)->domain_setup(g->container);
}

static long attach(struct ground *g)
{
	return vfio(g)->group_attach(g->group, g->container);
}

static long attach_file(struct ground *g)
{
	return attach_stranger(g, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
}

static long attach_null(struct ground *g)
{
	return attach_stranger(g, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static long attach_folder(struct ground *g)
{
	return attach_stranger(g, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static long attach_eventfd(struct ground *g)
{
	return attach_stranger(g, eventfd(0, EFD_CLOEXEC));
}

static long attach_group(struct ground *g)
{
	return attach_stranger(g, fcntl(g->group, F_DUPFD_CLOEXEC, 3));
}

static long attach_closed(struct ground *g)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	close(fd);
	return vfio(g)->group_attach(g->group, fd);
}

static long attach_nothing(struct ground *g)
{
	return vfio(g)->group_attach(g->group, -1);
}

static long detach(struct ground *g)
{
	return vfio(g)->group_detach(g->group);
}

static long detach_attach(struct ground *g)
{
	int r = vfio(g)->group_detach(g->group);

	return r < 0 ? r : attach(g);
}

static long detach_closed(struct ground *g)
{
	vfio(g)->device_close(fd_take(&g->device));
	return detach(g);
}

static long detach_ready(struct ground *g)
{
	int r = vfio(g)->group_detach(g->group);

	return r < 0 ? r : ready(g);
}

/* ---- two groups in one container ---- */

static long second_attach(struct ground *g)
{
	return g->machine->second.fd < 0 ? SKIPPED : vfio(g)->group_attach(g->machine->second.fd, g->container);
}

static long second_setup(struct ground *g)
{
	long r = second_attach(g);

	return r < 0 ? r : setup(g);
}

static long second_opens(struct ground *g)
{
	long r = second_attach(g);
	int device;

	if (r < 0)
		return r;
	device = vfio(g)->device_get(g->machine->second.fd, g->machine->second.device);
	if (device >= 0)
		vfio(g)->device_close(device);
	return device < 0 ? device : 0;
}

/* The container lives on with the second group. */
static long second_stays(struct ground *g)
{
	long r = second_attach(g);

	if (r == 0)
		r = map_at(g, IOVA, PAGE, g->page);
	if (r == 0)
		r = detach(g);
	return r < 0 ? r : unmap_at(g, IOVA, PAGE);
}

/* ---- the list ---- */

static const struct row rows[] = {
	{"status of a viable group", FRESH, status_viable, VFIO_GROUP_FLAGS_VIABLE, 0},
	{"status of a group in a container", ATTACHED, status_viable,
		VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, 0},
	{"status of a group with a host driver in it", FRESH, not_viable_status, 0, 0},
	{"SET_CONTAINER of a group that is not viable", FRESH, not_viable_attach, -EPERM, 0},
	{"a container is told", FRESH, check_container, true, 0},
	{"an O_PATH descriptor of one is not", FRESH, check_path, false, 0},
	{"nor is anything else", FRESH, check_strangers, 0, 0},
	{"same domain: a copy is, another is not", FRESH, same_domain, 1, 0},
	{"SET_CONTAINER", FRESH, attach, 0, 0},
	{"SET_CONTAINER again", ATTACHED, attach, -EINVAL, 0},
	{"SET_CONTAINER with a file", FRESH, attach_file, -EBADFD, -EINVAL},
	{"SET_CONTAINER with /dev/null", FRESH, attach_null, -EBADFD, -EINVAL},
	{"SET_CONTAINER with a directory", FRESH, attach_folder, -EBADFD, -EINVAL},
	{"SET_CONTAINER with an eventfd", FRESH, attach_eventfd, -EBADFD, -EINVAL},
	{"SET_CONTAINER with the group itself", FRESH, attach_group, -EBADFD, -EINVAL},
	{"SET_CONTAINER with a closed descriptor", FRESH, attach_closed, -EBADF, 0},
	{"SET_CONTAINER with -1", FRESH, attach_nothing, -EBADF, 0},
	{"UNSET_CONTAINER", ATTACHED, detach, 0, 0},
	{"UNSET_CONTAINER without one", FRESH, detach, -EINVAL, 0},
	{"UNSET_CONTAINER with a device open", OPENED, detach, -EBUSY, 0},
	{"UNSET_CONTAINER after it was closed", OPENED, detach_closed, 0, 0},
	{"a group can be used again at once", READY, detach_attach, 0, 0},
	{"SET_IOMMU before a group", FRESH, setup, -EINVAL, 0},
	{"SET_IOMMU", ATTACHED, setup, 0, 0},
	{"SET_IOMMU again", READY, setup, -EINVAL, 0},
	{"domain without SET_IOMMU is not ready", ATTACHED, ready, false, 0},
	{"domain with it is", READY, ready, true, 0},
	{"domain whose group has left is not", READY, detach_ready, false, 0},
	{"second group in the domain", READY, second_attach, 0, 0},
	{"second group needs no SET_IOMMU", READY, second_setup, -EINVAL, 0},
	{"second group's device opens", READY, second_opens, 0, 0},
	{"domain outlives its first group", READY, second_stays, PAGE, 0},
};

const struct row_list rows_of_groups = {rows, sizeof rows / sizeof rows[0]};
