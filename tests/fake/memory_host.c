/* SPDX-License-Identifier: MIT */
#include "memory_host.h"

#include "host/host.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct memory_host own_host;

struct memory_host *memory_host = &own_host;

static host_changed changed;
static void *changed_context;

void memory_host_reset(const struct host_device *devices, size_t count)
{
	int (*group_open)(uint32_t) = memory_host->group_open;

	*memory_host = (struct memory_host){.count = count, .group_open = group_open};
	for (size_t i = 0; i < count; i++)
		memory_host->devices[i] = (struct memory_device){
			.device = devices[i], .at_start = devices[i], .command = PCI_COMMAND_MEMORY, .present = true};
}

int memory_host_share(void)
{
	void *shared = mmap(NULL, sizeof *memory_host, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return -1;
	memory_host = shared;
	*memory_host = own_host;
	return 0;
}

void memory_host_tell(enum host_change change, const char *name)
{
	changed(changed_context, change, name);
}

void memory_host_plug(size_t i, bool present)
{
	struct memory_device *device = &memory_host->devices[i];

	if (device->present == present)
		return;
	device->present = present;
	if (present) {
		device->device = device->at_start;
		device->override[0] = '\0';
	}
	memory_host_tell(present ? HOST_ADDED : HOST_REMOVED, device->device.name);
}

/* Counts a call that would fail with ERROR. The call that was chosen fails, or never returns. */
static int call(int error)
{
	int number = ++memory_host->calls;

	if (number == memory_host->dies_before)
		_exit(MEMORY_HOST_DIED);
	if (number == memory_host->fails_at)
		error = memory_host->fails_with;
	if (error)
		memory_host->failed = true;
	return -error;
}

static int failure(enum memory_step step)
{
	return call(memory_host->failures[step]);
}

static struct memory_device *find(const char *name)
{
	for (size_t i = 0; i < memory_host->count; i++) {
		if (memory_host->devices[i].present && strcmp(memory_host->devices[i].device.name, name) == 0)
			return &memory_host->devices[i];
	}
	return NULL;
}

static int enumerate(host_found found, void *context)
{
	for (size_t i = 0; i < memory_host->count; i++) {
		if (memory_host->devices[i].present)
			found(context, &memory_host->devices[i].device);
	}
	return 0;
}

static int watch(sd_event *event, host_changed function, void *context)
{
	(void)event;
	changed = function;
	changed_context = context;
	return 0;
}

static int look(const char *name, struct host_device *ret_device)
{
	const struct memory_device *device = find(name);
	int r = call(memory_host->look_failure);

	memory_host->looks++;
	if (r < 0 || !device)
		return r < 0 ? r : -ENODEV;
	*ret_device = device->device;
	ret_device->vfio = strstr(device->device.driver, "vfio");
	return 0;
}

/* Status of a device that answers, above the command register: a list of capabilities. */
#define STATUS (PCI_STATUS_CAP_LIST << 16)

static int read_ids(const char *name, uint32_t ret_words[2])
{
	const struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_PROBE) : -ENODEV;

	if (r < 0)
		return r;
	ret_words[0] = device->device.vendor | (uint32_t)device->device.device << 16;
	ret_words[1] = STATUS | device->command;
	/* A virtual function has all ones in place of its ids. */
	if (device->dead || device->device.physfn[0])
		ret_words[0] = UINT32_MAX;
	if (device->dead)
		ret_words[1] = UINT32_MAX;
	return 0;
}

static int inspect(const char *name, int inspector, char ret_use[USE_TEXT_SIZE])
{
	const struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_INSPECT) : -ENODEV;

	(void)inspector;
	if (r == 0)
		snprintf(ret_use, USE_TEXT_SIZE, "%s", device->use);
	return r;
}

static int resettable(const char *name)
{
	const struct memory_device *device = find(name);

	memory_host->looks++;
	if (!device)
		return -ENODEV;
	return device->shares_bus  ? RESET_METHOD_SHARED_BUS
		: device->stubborn ? RESET_METHOD_NONE
				   : RESET_METHOD_FUNCTION;
}

/* A bind may fail all the same. */
static bool has_driver(const char *driver)
{
	(void)driver;
	return true;
}

static int override_get(const char *name, char ret_driver[DRIVER_NAME_SIZE])
{
	const struct memory_device *device = find(name);
	int r = device ? call(0) : -ENODEV;

	if (r == 0)
		memcpy(ret_driver, device->override, DRIVER_NAME_SIZE);
	return r;
}

static int override_set(const char *name, const char *driver)
{
	struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_OVERRIDE) : -ENODEV;

	if (r == 0)
		snprintf(device->override, DRIVER_NAME_SIZE, "%s", driver);
	return r;
}

static int driver_unbind(const char *name, const char *driver)
{
	struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_UNBIND) : -ENODEV;

	if (r == 0 && strcmp(device->device.driver, driver) != 0)
		return -ENODEV;
	if (r == 0)
		device->device.driver[0] = '\0';
	return r;
}

static int driver_bind(const char *name, const char *driver)
{
	struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_BIND) : -ENODEV;

	if (r == 0 && device->device.driver[0])
		return -EBUSY;
	if (r == 0 && device->override[0] && strcmp(device->override, driver) != 0)
		return -ENODEV;
	if (r == 0)
		snprintf(device->device.driver, DRIVER_NAME_SIZE, "%s", driver);
	return r;
}

/* The driver that has appeared takes each device without a driver. */
static int driver_probe(const char *name)
{
	struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_BIND) : -ENODEV;

	if (r == 0 && !device->device.driver[0] && !device->override[0])
		snprintf(device->device.driver, DRIVER_NAME_SIZE, "%s", memory_host->new_driver);
	return r;
}

static int quiet(const char *name, uint16_t *ret_command)
{
	struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_QUIET) : -ENODEV;

	if (r < 0)
		return r;
	*ret_command = device->command;
	device->command = (uint16_t)((device->command & ~PCI_COMMAND_MASTER) | PCI_COMMAND_INTX_DISABLE);
	return 0;
}

static int reset(const char *name)
{
	struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_RESET) : -ENODEV;

	if (r == 0 && (device->stubborn || device->shares_bus))
		return -ENOTTY;
	if (r == 0)
		device->resets++;
	return r;
}

/* Devices of one group are on one bus here. */
static int reset_bus(int group, const char *name)
{
	const struct memory_device *device = find(name);
	int r = device ? failure(MEMORY_RESET) : -ENODEV;

	(void)group;
	for (size_t i = 0; i < memory_host->count && r == 0; i++) {
		const struct memory_device *other = &memory_host->devices[i];

		if (other->present && other->device.group == device->device.group &&
			!strstr(other->device.driver, "vfio"))
			r = -EBUSY;
	}
	for (size_t i = 0; i < memory_host->count && r == 0; i++) {
		if (memory_host->devices[i].device.group == device->device.group)
			memory_host->devices[i].resets++;
	}
	return r;
}

static int group_open(uint32_t group)
{
	int r = failure(MEMORY_GROUP);

	if (r < 0)
		return r;
	return memory_host->group_open ? memory_host->group_open(group) : memfd_create("group", MFD_CLOEXEC);
}

static int window_open(void)
{
	int r = failure(MEMORY_WINDOW);

	return r < 0 ? r : memfd_create("window", MFD_CLOEXEC);
}

const struct host memory_host_functions = {
	.enumerate = enumerate,
	.subscribe = watch,
	.read = look,
	.resettable = resettable,
	.has_driver = has_driver,
};

const struct hardware memory_hardware = {
	.read_ids = read_ids,
	.inspect = inspect,
	.override_get = override_get,
	.override_set = override_set,
	.driver_unbind = driver_unbind,
	.driver_bind = driver_bind,
	.driver_probe = driver_probe,
	.quiet = quiet,
	.reset = reset,
	.reset_bus = reset_bus,
	.group_open = group_open,
	.window_open = window_open,
};
