/* SPDX-License-Identifier: MIT */
#include "helper_process.h"

#include "input.h"
#include "memory_host.h"
#include "orders.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct slot {
	struct orders orders;
	bool used, stuck, dying;
	unsigned int calls; /* to the kernel, until the helper dies */
} slots[HELPER_SLOTS];

static struct slot *serving; /* whose turn it is */

/* ---- the kernel, which a helper may not survive ---- */

/* The connection ends: for the rest of the order this is a helper that the broker does not hear. */
static void cut_off(struct slot *slot)
{
	int nobody[2];

	INPUT_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, nobody) == 0);
	close(nobody[1]);
	INPUT_ASSERT(dup3(nobody[0], slot->orders.channel.fd, O_CLOEXEC) >= 0);
	close(nobody[0]);
}

/* After each call. */
static int called(int result)
{
	if (serving->dying && serving->calls > 0 && --serving->calls == 0)
		cut_off(serving);
	return result;
}

static int read_ids(const char *name, uint32_t ret_words[2])
{
	return called(memory_hardware.read_ids(name, ret_words));
}

static int override_get(const char *name, char ret_driver[DEVICE_NAME_SIZE])
{
	return called(memory_hardware.override_get(name, ret_driver));
}

static int override_set(const char *name, const char *driver)
{
	return called(memory_hardware.override_set(name, driver));
}

static int driver_unbind(const char *name, const char *driver)
{
	return called(memory_hardware.driver_unbind(name, driver));
}

static int driver_bind(const char *name, const char *driver)
{
	return called(memory_hardware.driver_bind(name, driver));
}

static int driver_probe(const char *name)
{
	return called(memory_hardware.driver_probe(name));
}

static int inspect(const char *name, int inspector, char ret_use[USE_TEXT_SIZE])
{
	return called(memory_hardware.inspect(name, inspector, ret_use));
}

static int quiet(const char *name, uint16_t *ret_command)
{
	return called(memory_hardware.quiet(name, ret_command));
}

static int reset(const char *name)
{
	return called(memory_hardware.reset(name));
}

static int reset_bus(int group, const char *name)
{
	return called(memory_hardware.reset_bus(group, name));
}

static int group_open(uint32_t group)
{
	return called(memory_hardware.group_open(group));
}

static int window_open(void)
{
	return called(memory_hardware.window_open());
}

static const struct hardware hardware = {
	.read_ids = read_ids,
	.override_get = override_get,
	.override_set = override_set,
	.driver_unbind = driver_unbind,
	.driver_bind = driver_bind,
	.driver_probe = driver_probe,
	.inspect = inspect,
	.quiet = quiet,
	.reset = reset,
	.reset_bus = reset_bus,
	.group_open = group_open,
	.window_open = window_open,
};

/* ---- helpers ---- */

void helpers_init(void)
{
	for (size_t i = 0; i < HELPER_SLOTS; i++)
		slots[i].used = false;
}

void helpers_start(int channel)
{
	size_t i = 0;

	while (i < HELPER_SLOTS && slots[i].used)
		i++;
	INPUT_ASSERT(i < HELPER_SLOTS);
	orders_init(&slots[i].orders, &hardware, channel);
	slots[i].used = true;
	slots[i].stuck = slots[i].dying = false;
}

static bool is_order_there(const struct slot *slot)
{
	struct pollfd p = {slot->orders.channel.fd, POLLIN, 0};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

static bool step(struct slot *slot)
{
	struct pollfd p = {slot->orders.channel.fd, POLLIN | POLLRDHUP, 0};

	if (poll(&p, 1, 0) <= 0)
		return false;
	/* Nothing is read from here by the broker before the order is done. */
	if (slot->dying && slot->calls == 0 && is_order_there(slot))
		shutdown(slot->orders.channel.fd, SHUT_WR);
	serving = slot;
	slot->used = orders_step(&slot->orders, 0);
	return true;
}

bool helpers_step(void)
{
	bool busy = false;

	for (size_t i = 0; i < HELPER_SLOTS; i++)
		busy = (slots[i].used && !slots[i].stuck && step(&slots[i])) || busy;
	return busy;
}

void helpers_kill(size_t i)
{
	if (slots[i].used)
		channel_close(&slots[i].orders.channel);
	slots[i].used = false;
}

void helpers_stick(size_t i, bool stuck)
{
	slots[i].stuck = stuck;
}

void helpers_kill_in_order(size_t i, unsigned int calls)
{
	slots[i].dying = true;
	slots[i].calls = calls;
}

void helpers_heal(void)
{
	for (size_t i = 0; i < HELPER_SLOTS; i++)
		slots[i].stuck = slots[i].dying = false;
}

int helpers_channel(size_t i)
{
	return slots[i].used ? slots[i].orders.channel.fd : -1;
}

size_t helpers_running(void)
{
	size_t count = 0;

	for (size_t i = 0; i < HELPER_SLOTS; i++)
		count += slots[i].used;
	return count;
}
