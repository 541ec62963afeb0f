/* SPDX-License-Identifier: MIT */
#include "device_name.h"
#include "fdset.h"
#include "host/host.h"
#include "host/uevent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-device.h>
#include <unistd.h>

/*
 * Device names reach this file only after device_name_valid() or from the kernel itself: hexadecimal digits, colons
 * and a dot. So no path below can leave its directory.
 */

static void device_unrefp(sd_device **device)
{
	sd_device_unref(*device);
}
#define OWNED_DEVICE __attribute__((cleanup(device_unrefp))) sd_device

static int attribute_hex(sd_device *device, const char *attribute, uint32_t *ret_value)
{
	const char *text;
	int r = sd_device_get_sysattr_value(device, attribute, &text);

	if (r < 0)
		return r;
	*ret_value = (uint32_t)strtoul(text, NULL, 16);
	return 0;
}

/* The last component of a link below SYSPATH, in TARGET; NULL without such a link. */
static const char *link_end(const char *syspath, const char *link, char target[512])
{
	char path[512];
	const char *slash;
	ssize_t length;

	snprintf(path, sizeof path, "%s/%s", syspath, link);
	length = readlink(path, target, 511);
	if (length < 0)
		return NULL;
	target[length] = '\0';
	slash = strrchr(target, '/');
	return slash ? slash + 1 : NULL;
}

/* GROUP_NONE without an IOMMU. */
static uint32_t group_of(const char *syspath)
{
	char target[512];
	const char *number = link_end(syspath, "iommu_group", target);

	return number ? (uint32_t)strtoul(number, NULL, 10) : GROUP_NONE;
}

static void describe_physfn(const char *syspath, char physfn[DEVICE_NAME_SIZE])
{
	char target[512];
	const char *name = link_end(syspath, "physfn", target);

	if (name && strlen(name) < DEVICE_NAME_SIZE)
		memcpy(physfn, name, strlen(name));
}

/* Of bridges alone (pci_dev_bridge_attrs in drivers/pci/pci-sysfs.c). */
#define BRIDGE_ATTRIBUTE "secondary_bus_number"

static bool has(const char *syspath, const char *name)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s", syspath, name);
	return access(path, F_OK) == 0;
}

/* Of sd-device, only calls that read an attribute or a link by name are used: calls about properties read uevent. */
static int describe(sd_device *device, struct host_device *ret_device)
{
	struct host_device d = {0};
	const char *name, *syspath, *driver;
	uint32_t vendor, id;
	int r;

	r = sd_device_get_sysname(device, &name);
	if (r >= 0)
		r = sd_device_get_syspath(device, &syspath);
	if (r >= 0)
		r = attribute_hex(device, "vendor", &vendor);
	if (r >= 0)
		r = attribute_hex(device, "device", &id);
	if (r >= 0)
		r = attribute_hex(device, "class", &d.class);
	if (r < 0)
		return r;
	if (strlen(name) >= sizeof d.name)
		return -ENAMETOOLONG;
	memcpy(d.name, name, strlen(name));
	d.vendor = (uint16_t)vendor;
	d.device = (uint16_t)id;
	d.group = group_of(syspath);
	describe_physfn(syspath, d.physfn);
	if (sd_device_get_driver(device, &driver) >= 0)
		snprintf(d.driver, sizeof d.driver, "%s", driver);
	d.bridge = has(syspath, BRIDGE_ATTRIBUTE);
	/* Of devices of VFIO's alone (vfio_init_device() in drivers/vfio/vfio_main.c), since Linux 6.1. */
	d.vfio = strcmp(d.driver, VFIO_DRIVER) == 0 || (d.driver[0] && has(syspath, "vfio-dev"));
	*ret_device = d;
	return 0;
}

static void enumerator_unrefp(sd_device_enumerator **enumerator)
{
	sd_device_enumerator_unref(*enumerator);
}

static int linux_enumerate(host_found found, void *context)
{
	__attribute__((cleanup(enumerator_unrefp))) sd_device_enumerator *enumerator = NULL;
	int r = sd_device_enumerator_new(&enumerator);

	if (r >= 0)
		r = sd_device_enumerator_allow_uninitialized(enumerator);
	if (r >= 0)
		r = sd_device_enumerator_add_match_subsystem(enumerator, "pci", 1);
	if (r < 0)
		return r;
	for (sd_device *d = sd_device_enumerator_get_device_first(enumerator); d;
		d = sd_device_enumerator_get_device_next(enumerator)) {
		struct host_device described;

		/* A device may leave while we look: then the device is left out. */
		if (describe(d, &described) == 0)
			found(context, &described);
	}
	return 0;
}

struct watch {
	host_changed changed;
	void *context;
};

static int on_uevent(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	const struct watch *watch = userdata;
	enum host_change change;
	char name[DEVICE_NAME_SIZE];

	(void)source;
	(void)events;
	if (uevent_read(fd, &change, name) > 0)
		watch->changed(watch->context, change, name);
	return 0;
}

static int linux_subscribe(sd_event *event, host_changed changed, void *context)
{
	/* Lives as long as the process, like the event loop and the socket. */
	static struct watch watch;
	int r, fd = uevent_open();

	if (fd < 0)
		return fd;
	watch = (struct watch){changed, context};
	r = sd_event_add_io(event, NULL, fd, EPOLLIN, on_uevent, &watch);
	if (r < 0)
		close(fd);
	return r < 0 ? r : 0;
}

static int linux_read(const char *name, struct host_device *ret_device)
{
	OWNED_DEVICE *device = NULL;
	/* A new object each time: sd-device remembers attributes once read. */
	int r = sd_device_new_from_subsystem_sysname(&device, "pci", name);

	return r < 0 ? r : describe(device, ret_device);
}

/* Reads a small file below /sys/bus/pci/devices/NAME. Returns the length; BUFFER ends with a NUL. */
static ssize_t attribute_read(const char *name, const char *attribute, char *buffer, size_t size)
{
	char path[256];
	OWNED_FD fd = -1;
	ssize_t length;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", name, attribute);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ENODEV : -errno;
	length = read(fd, buffer, size - 1);
	if (length < 0)
		return -errno;
	buffer[length] = '\0';
	return length;
}

/* ---- how a device is reset ---- */

enum bus {
	BUS_OWN,     /* no other device is on the bus */
	BUS_SHARED,  /* all others are of the same IOMMU group, and VFIO can have all of them */
	BUS_FOREIGN, /* others are not; or the device is on a root bus */
};

/* What is on the bus of NAME besides NAME. */
static enum bus bus_of(const char *name)
{
	char path[128], above[128];
	enum bus bus = BUS_OWN;
	uint32_t group;
	DIR *directory;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", name);
	snprintf(above, sizeof above, "/sys/bus/pci/devices/%s/..", name);
	/* Nothing can reset a root bus. */
	if (!has(above, BRIDGE_ATTRIBUTE))
		return BUS_FOREIGN;
	group = group_of(path);
	directory = opendir(above);
	if (!directory)
		return BUS_FOREIGN;
	for (const struct dirent *entry; (entry = readdir(directory)) && bus != BUS_FOREIGN;) {
		char other[DEVICE_NAME_SIZE] = {0};

		if (strlen(entry->d_name) >= sizeof other || strcmp(entry->d_name, name) == 0)
			continue;
		memcpy(other, entry->d_name, strlen(entry->d_name));
		if (!device_name_valid(other))
			continue;
		snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", other);
		bus = group == GROUP_NONE || group_of(path) != group || has(path, BRIDGE_ATTRIBUTE) ? BUS_FOREIGN
												    : BUS_SHARED;
	}
	closedir(directory);
	return bus;
}

/*
 * The file lists the methods that pci_reset_function() would try. The file is missing if there was no method at
 * boot, and empty if root has taken all methods away since. Linux before 5.15 has no such file and is not supported
 * (README).
 *
 * The first function of a slot has "bus" in the list, because the kernel makes the list before it has found the other
 * functions; pci_parent_bus_reset() then refuses. Such functions are reset by VFIO, all together.
 */
static int linux_resettable(const char *name)
{
	const char *first;
	char methods[64] = "";
	ssize_t length = attribute_read(name, "reset_method", methods, sizeof methods);
	bool by_bus;

	if (length < 0 && length != -ENODEV)
		return (int)length;
	first = methods + strspn(methods, " \n");
	by_bus = strncmp(first, "bus", 3) == 0 || strncmp(first, "cxl_bus", 7) == 0;
	if (*first && !by_bus)
		return RESET_METHOD_FUNCTION;
	switch (bus_of(name)) {
	case BUS_OWN:
		return by_bus ? RESET_METHOD_BUS : RESET_METHOD_NONE;
	case BUS_SHARED:
		return RESET_METHOD_SHARED_BUS;
	case BUS_FOREIGN:
		break;
	}
	return RESET_METHOD_NONE;
}

static bool linux_has_driver(const char *driver)
{
	return has("/sys/bus/pci/drivers", driver);
}

const struct host host_linux = {
	.enumerate = linux_enumerate,
	.subscribe = linux_subscribe,
	.read = linux_read,
	.resettable = linux_resettable,
	.has_driver = linux_has_driver,
};
