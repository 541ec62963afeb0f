/* SPDX-License-Identifier: MIT */
#include "orders.h"
#include "helper_message.h"
#include "log.h"
#include "vfio_window.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The cookie of a keeper's answer to LEASE. The broker uses the same for the broker's own requests to keepers. */
#define KEEPER_COOKIE 1

void orders_init(struct orders *orders, const struct hardware *hardware, int channel)
{
	orders->hardware = hardware;
	channel_init(&orders->channel, channel);
	orders->idle_signals = NULL;
	orders->awake = false;
	packet_init(&orders->buffers.request);
	packet_init(&orders->buffers.reply);
	packet_init(&orders->lease);
}

/* ---- before each step ---- */

/* -ECANCELED: the broker wants no further step. Asked before each step, and so between the steps of an order: the
 * broker has long taken the device for lost, and looks anew. */
static int wanted(const struct orders *orders)
{
	struct pollfd p = {orders->channel.fd, POLLRDHUP, 0};

	return poll(&p, 1, 0) > 0 ? -ECANCELED : 0;
}

static uint32_t error_of(int result)
{
	return result < 0 ? (uint32_t)-result : 0;
}

static int answer(struct packet *reply, int result)
{
	struct helper_reply *answer = packet_append(reply, sizeof *answer);

	answer->error = error_of(result);
	return 0;
}

/* ---- orders about one device ---- */

static int look_at_ids(const struct orders *orders, const char *name, struct helper_reply *answer)
{
	uint32_t words[2];
	int r = wanted(orders);

	if (r == 0)
		r = orders->hardware->read_ids(name, words);
	if (r < 0)
		return r;
	answer->ids = words[0];
	answer->command = words[1];
	return 0;
}

/* Safe for a hostile caller: nobody gets the file, and the kernel refuses a group in use. */
static int look_at_node(const struct orders *orders, uint32_t group)
{
	int r = wanted(orders);

	if (r == 0)
		r = orders->hardware->group_open(group);
	if (r < 0)
		return r;
	close(r);
	return 0;
}

static int look_at_use(const struct orders *orders, const char *name, int inspector, struct helper_reply *answer)
{
	int r = wanted(orders);

	return r < 0 ? r : orders->hardware->inspect(name, inspector, answer->use);
}

static int serve_look(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	struct helper_reply *answer = packet_append(reply, sizeof *answer);
	OWNED_FD inspector = request->fds.count > 0 ? fdset_take(&request->fds, 0) : -1;

	(void)detail;
	if (order->flags & HELPER_LOOK_IDS)
		answer->error = error_of(look_at_ids(orders, order->name, answer));
	if (order->flags & HELPER_LOOK_NODE)
		answer->node_error = error_of(look_at_node(orders, order->group));
	if (order->flags & HELPER_LOOK_USE)
		answer->use_error = error_of(look_at_use(orders, order->name, inspector, answer));
	return 0;
}

static int serve_override_get(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	struct helper_reply *answer = packet_append(reply, sizeof *answer);
	int r = wanted(orders);

	(void)detail;
	if (r == 0)
		r = orders->hardware->override_get(order->name, answer->driver);
	answer->error = error_of(r);
	return 0;
}

static int serve_override_set(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	int r = wanted(orders);

	(void)detail;
	return answer(reply, r < 0 ? r : orders->hardware->override_set(order->name, order->driver));
}

/* A driver whose module is being loaded has devices before it has the file unbind (bus_add_driver() in
 * drivers/base/bus.c). The broker waits for an order for five seconds. */
#define TRY_AGAIN_MS 20
#define TRIES	     150

/* Waits a moment, for a try of the number TRY. Returns false if no further try makes sense. */
static bool try_again(const struct orders *orders, int try)
{
	struct pollfd p = {orders->channel.fd, POLLRDHUP, 0};

	return try < TRIES && poll(&p, 1, TRY_AGAIN_MS) == 0;
}

static int serve_unbind(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	int r = wanted(orders);

	(void)detail;
	if (r == 0)
		r = orders->hardware->driver_unbind(order->name, order->driver);
	for (int try = 0; r == -ENOENT && try_again(orders, try); try++)
		r = orders->hardware->driver_unbind(order->name, order->driver);
	return answer(reply, r);
}

static int serve_bind(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	int r = wanted(orders);

	(void)detail;
	return answer(reply, r < 0 ? r : orders->hardware->driver_bind(order->name, order->driver));
}

static int serve_probe(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	int r = wanted(orders);

	(void)detail;
	return answer(reply, r < 0 ? r : orders->hardware->driver_probe(order->name));
}

static int serve_quiet(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	struct helper_reply *answer = packet_append(reply, sizeof *answer);
	uint16_t command = 0;
	int r = wanted(orders);

	(void)detail;
	if (r == 0)
		r = orders->hardware->quiet(order->name, &command);
	answer->error = error_of(r);
	answer->command = command;
	return 0;
}

static int serve_reset(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	const struct helper_order *order = (const void *)request->payload;
	int r = wanted(orders);

	(void)detail;
	return answer(reply, r < 0 ? r : orders->hardware->reset(order->name));
}

/*
 * Safe for a hostile caller: the kernel gives the group only if nobody else has it, and resets the bus only if all
 * devices on the bus are of the group and with VFIO. So no device of anybody else is reset, nor one that works.
 */
static int reset_bus(const struct orders *orders, const struct helper_order *order)
{
	OWNED_FD group = orders->hardware->group_open(order->group);
	int r = group < 0 ? group : wanted(orders);

	if (r == 0)
		r = orders->hardware->reset_bus(group, order->name);
	/* Whoever reads files of a device in sysfs has the device locked for moments. */
	for (int try = 0; r == -EAGAIN && try_again(orders, try); try++)
		r = orders->hardware->reset_bus(group, order->name);
	return r;
}

static int serve_reset_bus(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct orders *orders = context;
	int r = wanted(orders);

	(void)detail;
	return answer(reply, r < 0 ? r : reset_bus(orders, (const void *)request->payload));
}

/* ---- leases ---- */

/* Adds the files of the lease to the packet for the keeper, in the order of enum lease_flags. */
static int add_group(struct orders *orders, const struct lease_request *lease)
{
	int r = wanted(orders);

	if (r < 0 || !(lease->flags & LEASE_GROUP))
		return r;
	r = orders->hardware->group_open(lease->group);
	return r < 0 ? r : fdset_add(&orders->lease.fds, r);
}

/* A host without the module has leases without windows. So has a host whose module fails. */
static int add_windows(struct orders *orders, struct lease_request *lease)
{
	int r = wanted(orders);

	if (r < 0)
		return r;
	r = orders->hardware->window_open();
	if (r < 0 && r != -ENOENT)
		log_line(LOG_WARNING, "%s: no register windows: " VFIO_WINDOW_NODE ": %s", lease->name, strerror(-r));
	if (r < 0)
		return 0;
	lease->flags |= LEASE_WINDOWS;
	return fdset_add(&orders->lease.fds, r);
}

/*
 * Safe for a hostile caller: the group and the windows go to the keeper of the broker's choice, on the broker's own
 * connection to the keeper. The broker gets no descriptor, so a last close never waits there.
 */
static int give(struct orders *orders, struct packet *request)
{
	struct lease_request *lease;
	int keeper = request->fds.fds[0];
	int r;

	packet_request(&orders->lease, KEEPER_LEASE, KEEPER_COOKIE);
	lease = packet_append(&orders->lease, sizeof *lease);
	memcpy(lease, request->payload, sizeof *lease);
	r = add_group(orders, lease);
	if (r == 0)
		r = add_windows(orders, lease);
	if (r == 0)
		r = fdset_add(&orders->lease.fds, fdset_take(&request->fds, 1));
	if (r == 0)
		r = wanted(orders);
	return r < 0 ? r : packet_send(keeper, MSG_DONTWAIT, &orders->lease);
}

static int serve_lease(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct orders *orders = context;
	int r = give(orders, request);

	(void)detail;
	/* All copies are closed before the answer: the answer says: nothing is held here any more. */
	packet_clear(&orders->lease);
	fdset_clear(&request->fds);
	return answer(reply, r);
}

/* ---- the channel ---- */

static int serve_hello(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	uint32_t *who = packet_append(reply, sizeof(struct helper_hello_reply) - sizeof(struct hello_reply));

	(void)context;
	(void)request;
	(void)detail;
	who[0] = (uint32_t)getpid();
	who[1] = getuid();
	return 0;
}
static_assert(offsetof(struct helper_hello_reply, pid) == sizeof(struct hello_reply), "pid, then uid");

static const channel_handler handlers[HELPER_TYPE_MAX] = {
	[HELPER_HELLO] = serve_hello,
	[HELPER_LOOK] = serve_look,
	[HELPER_OVERRIDE_GET] = serve_override_get,
	[HELPER_OVERRIDE_SET] = serve_override_set,
	[HELPER_UNBIND] = serve_unbind,
	[HELPER_BIND] = serve_bind,
	[HELPER_LEASE] = serve_lease,
	[HELPER_QUIET] = serve_quiet,
	[HELPER_RESET] = serve_reset,
	[HELPER_PROBE] = serve_probe,
	[HELPER_RESET_BUS] = serve_reset_bus,
};

static const struct channel_service service = {.table = &helper_table, .handlers = handlers};

bool orders_step(struct orders *orders, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	struct pollfd p = {orders->channel.fd, (short)(channel_events(&orders->channel) | POLLRDHUP), 0};
	int r = ppoll(&p, 1, timeout_ms < 0 ? NULL : &timeout, orders->idle_signals);

	orders->awake = r > 0;
	if (r == 0 || (r < 0 && errno == EINTR))
		return true;
	if (r > 0 && !(p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
		r = channel_serve(&orders->channel, &service, orders, &orders->buffers);
	else
		r = CHANNEL_ENDED;
	if (r == CHANNEL_OPEN)
		return true;
	channel_finish(&orders->channel, &orders->buffers.request);
	return false;
}
