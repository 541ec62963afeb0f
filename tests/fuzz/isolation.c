/* SPDX-License-Identifier: MIT */
#include "isolation.h"

#include "input.h"
#include "memory_host.h"
#include "service_keepers.h"
#include "state/broker.h"

#include <string.h>

#define NOBODY ((uid_t)-1)

static const struct memory_device *stubborn;
static uid_t last_user;
static int group_fd;

void isolation_begin(unsigned int i, int fd)
{
	memory_host->devices[i].stubborn = true;
	stubborn = &memory_host->devices[i];
	last_user = NOBODY;
	group_fd = fd;
	keepers_make_stubborn(fd, stubborn->device.name);
}

static bool is_stubborn(const struct device *device)
{
	return strcmp(device->name, stubborn->device.name) == 0;
}

void isolation_check(const struct broker *broker)
{
	const struct device *device;

	if (!stubborn->present) {
		last_user = NOBODY;
		return;
	}
	LIST_FOREACH(device, &broker->inventory.devices, in_inventory) {
		if (!device->lease || !keepers_opened(group_fd, device->name))
			continue;
		INPUT_ASSERT(last_user == NOBODY || device->lease->user->uid == last_user);
		if (is_stubborn(device))
			last_user = device->lease->user->uid;
	}
}

/* The device is fit by UNQUARANTINE. */
void __real_quarantine_end(struct broker *broker, struct device *device);
void __wrap_quarantine_end(struct broker *broker, struct device *device);

void __wrap_quarantine_end(struct broker *broker, struct device *device)
{
	if (is_stubborn(device))
		last_user = NOBODY;
	__real_quarantine_end(broker, device);
}
