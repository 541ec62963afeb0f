/* SPDX-License-Identifier: MIT */
#include "name.h"

#include "detail.h"
#include "device_name.h"
#include "refusal.h"
#include "vfio-broker.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last component of a path in sysfs that names a PCI device: what /sys/class/net/enp3s0 leads to is below it. */
static bool find_in_path(char *path, char ret_name[DEVICE_NAME_SIZE])
{
	for (char *slash; (slash = strrchr(path, '/')); *slash = '\0') {
		if (device_name_parse(slash + 1, ret_name))
			return true;
	}
	return false;
}

static bool find_at(const char *path, char ret_name[DEVICE_NAME_SIZE])
{
	char *real = realpath(path, NULL);
	bool found = real && find_in_path(real, ret_name);

	free(real);
	return found;
}

/* By a name that the kernel has given to what a driver makes of a device. */
static bool find_by_kernel_name(const char *text, char ret_name[DEVICE_NAME_SIZE])
{
	static const char *const classes[] = {"net", "nvme", "block", "drm", "accel", "infiniband", "uio", "sound"};
	char path[PATH_MAX];

	if (*text == '\0' || *text == '.' || strchr(text, '/'))
		return false;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		snprintf(path, sizeof path, "/sys/class/%s/%s", classes[i], text);
		if (find_at(path, ret_name))
			return true;
	}
	return false;
}

int name_find(const char *text, char ret_name[DEVICE_NAME_SIZE])
{
	static const char dev[] = "/dev/";
	const bool is_node = strncmp(text, dev, strlen(dev)) == 0;
	char quoted[128];

	if (device_name_parse(text, ret_name) || (*text == '/' && !is_node && find_at(text, ret_name)) ||
		find_by_kernel_name(is_node ? text + strlen(dev) : text, ret_name))
		return 0;
	memset(ret_name, 0, DEVICE_NAME_SIZE);
	return detail_set(REFUSAL_NO_SUCH_DEVICE,
		"\"%s\" is neither a PCI address like 0000:01:00.0 nor a name of a PCI device that the kernel uses "
		"now, like nvme0 or enp3s0",
		refusal_quote(quoted, sizeof quoted, text, strnlen(text, DEVICE_NAME_SIZE)));
}

int vbroker_device_address(const char *name, char ret_address[VBROKER_ADDRESS_SIZE])
{
	static_assert(VBROKER_ADDRESS_SIZE == DEVICE_NAME_SIZE, "the same");
	detail_clear();
	return name_find(name, ret_address);
}
