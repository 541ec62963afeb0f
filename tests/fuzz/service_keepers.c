/* SPDX-License-Identifier: MIT */
#include "service_keepers.h"

#include "container.h"
#include "foreign_fd.h"
#include "group.h"
#include "keeper.h"
#include "kept.h"
#include "log.h"
#include "state.h"

#include <string.h>
#include <sys/socket.h>

static struct slot {
	struct keeper keeper;
	bool used, stuck;
} slots[KEEPERS_SLOTS];

static int groups[8];
static size_t groups_count;

void keepers_init(void)
{
	foreign_fd_open_links();
	log_set_level(-1);
	for (size_t i = 0; i < KEEPERS_SLOTS; i++)
		slots[i].used = slots[i].stuck = false;
	for (unsigned int step = 0; step < FAKE_STEPS; step++)
		fake_kernel_fail((enum fake_step)step, 0);
}

int keepers_start(int channel)
{
	for (size_t i = 0; i < KEEPERS_SLOTS; i++) {
		if (slots[i].used)
			continue;
		keeper_init(&slots[i].keeper, &fake_vfio, channel);
		slots[i].used = true;
		slots[i].stuck = false;
		return 0;
	}
	return -1;
}

/*
 * What the kernel does when the last descriptor of a group is closed. The fake one does it for a process that dies, and
 * here none does: a keeper that could not detach its group has left it attached.
 */
static void ended(struct slot *slot)
{
	slot->used = false;
	kept_release(&slot->keeper.group.kept);
	for (size_t i = 0; i < groups_count; i++) {
		const struct fake_group *group = fake_group_view(groups[i]);

		if (group->container == 0 || keepers_with_group(group->number) > 0)
			continue;
		fake_kernel_fail(FAKE_DETACH, 0);
		fake_vfio.group_detach(groups[i]);
	}
}

/* A number that changes with whatever a step does. */
static uint64_t activity(const struct keeper *keeper)
{
	uint64_t sum = keeper->channel.requests + 1000 * keeper->group.device_count;

	for (size_t i = 0; i < keeper->group.device_count; i++) {
		const struct device *device = keeper->group.devices[i];

		sum += device->channel.requests + (device->channel.unsent ? 500 : 0);
	}
	return sum;
}

bool keepers_step(size_t i)
{
	struct slot *slot = &slots[i];
	uint64_t before = activity(&slot->keeper);

	if (!slot->used || slot->stuck)
		return false;
	for (int turn = 0; turn < 4; turn++) {
		if (keeper_step(&slot->keeper, 0))
			continue;
		ended(slot);
		return true;
	}
	return activity(&slot->keeper) != before;
}

void keepers_kill(size_t i)
{
	struct keeper *keeper = &slots[i].keeper;

	if (!slots[i].used)
		return;
	/* Nothing that it would say gets anywhere. */
	shutdown(keeper->channel.fd, SHUT_RDWR);
	for (size_t j = 0; j < keeper->group.device_count; j++)
		shutdown(keeper->group.devices[j]->channel.fd, SHUT_RDWR);
	keeper_release(keeper);
	ended(&slots[i]);
}

void keepers_stick(size_t i, bool stuck)
{
	slots[i].stuck = stuck;
}

size_t keepers_running(void)
{
	size_t count = 0;

	for (size_t i = 0; i < KEEPERS_SLOTS; i++)
		count += slots[i].used;
	return count;
}

size_t keepers_with_group(uint32_t group)
{
	size_t count = 0;

	for (size_t i = 0; i < KEEPERS_SLOTS; i++)
		count += slots[i].used && slots[i].keeper.group.fd >= 0 && slots[i].keeper.group.number == group;
	return count;
}

size_t keepers_with_device(const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < KEEPERS_SLOTS; i++)
		count += slots[i].used && group_find(&slots[i].keeper.group, name);
	return count;
}

int keepers_group(uint32_t number, const char *const *names)
{
	int fd = fake_group_create(number, true, names);

	if (fd >= 0)
		groups[groups_count++] = fd;
	return fd;
}

int keepers_container(void)
{
	return fake_container_open();
}

void keepers_fail(unsigned int step, int error)
{
	fake_kernel_fail((enum fake_step)(step % FAKE_STEPS), error);
}

void keepers_request(int group_fd)
{
	const struct fake_group *group = fake_group_view(group_fd);

	for (size_t i = 0; i < FAKE_DEVICES_MAX; i++)
		fake_device_request(&group->devices[i]);
}

void keepers_vanish(int group_fd, bool vanished)
{
	struct fake_group *group = fake_group_view(group_fd);

	for (size_t i = 0; i < FAKE_DEVICES_MAX; i++)
		group->devices[i].vanished = vanished;
}

void keepers_make_stubborn(int group_fd, const char *name)
{
	fake_group_device(fake_group_view(group_fd), name)->resettable = false;
}

bool keepers_opened(int group_fd, const char *name)
{
	const struct fake_device *device = fake_group_device(fake_group_view(group_fd), name);

	return device && device->opened > 0;
}

bool keepers_group_idle(int group_fd)
{
	struct fake_group *group = fake_group_view(group_fd);
	bool idle = group->container == 0;

	for (size_t i = 0; i < FAKE_DEVICES_MAX; i++) {
		if (group->devices[i].name[0] == '\0')
			continue;
		idle = idle && group->devices[i].opened == 0;
		memset(group->devices[i].bar0, 0, sizeof group->devices[i].bar0);
	}
	return idle;
}
