/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "device_name.h"
#include "helper_message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MALFORMED(...) refuse(detail, REFUSAL_MALFORMED, __VA_ARGS__)

/* ---- helpers of several validators ---- */

bool driver_name_valid(const char name[DEVICE_NAME_SIZE])
{
	size_t length = strnlen(name, DEVICE_NAME_SIZE);

	return length > 0 && length < DEVICE_NAME_SIZE && name[0] != '.' && !strpbrk(name, "/\n");
}

/* Every request with a payload begins with its flags word (static_assert below). KNOWN: the request's flags so far. */
static int flags_known(const struct packet *request, uint32_t known, struct detail *detail)
{
	uint32_t flags;

	memcpy(&flags, request->payload, sizeof flags);
	if (flags & ~known)
		return MALFORMED("unknown flags %#" PRIx32, flags & ~known);
	return 0;
}
static_assert(offsetof(struct hello_request, flags) == 0, "flags first");
static_assert(offsetof(struct listing_request, flags) == 0, "flags first");
static_assert(offsetof(struct check_request, flags) == 0, "flags first");
static_assert(offsetof(struct open_request, flags) == 0, "flags first");
static_assert(offsetof(struct unquarantine_request, flags) == 0, "flags first");
static_assert(offsetof(struct watch_request, flags) == 0, "flags first");
static_assert(offsetof(struct explain_request, flags) == 0, "flags first");
static_assert(offsetof(struct bind_request, flags) == 0, "flags first");
static_assert(offsetof(struct region_request, flags) == 0, "flags first");
static_assert(offsetof(struct program_request, flags) == 0, "flags first");
static_assert(offsetof(struct irq_request, flags) == 0, "flags first");
static_assert(offsetof(struct array_header, flags) == 0, "flags first");
static_assert(offsetof(struct lease_request, flags) == 0, "flags first");
static_assert(offsetof(struct query_request, flags) == 0, "flags first");
static_assert(offsetof(struct revoke_request, flags) == 0, "flags first");
static_assert(offsetof(struct revoke_order, flags) == 0, "flags first");
static_assert(offsetof(struct helper_order, flags) == 0, "flags first");

static int validate_flags(const struct packet *request, struct detail *detail)
{
	return flags_known(request, 0, detail);
}

static int name_valid(const char name[DEVICE_NAME_SIZE], struct detail *detail)
{
	char quoted[DEVICE_NAME_SIZE * 4 + 1], text[DEVICE_NAME_SIZE] = "";

	if (device_name_valid(name))
		return 0;
	snprintf(text, sizeof text, "%.*s", DEVICE_NAME_SIZE - 1, name);
	if (device_name_valid(text))
		return MALFORMED("\"%s\" is not padded with NULs", text);
	/* Its user's mistake, not the client program's. */
	return refuse(detail, REFUSAL_NO_SUCH_DEVICE,
		"\"%s\" is not the name of a PCI device; one looks like 0000:01:00.0",
		refusal_quote(quoted, sizeof quoted, name, DEVICE_NAME_SIZE));
}

static bool is_width(uint32_t width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

/* ---- all channels ---- */

static int validate_hello(const struct packet *request, struct detail *detail)
{
	const struct hello_request *hello = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (hello->version_lowest == 0 || hello->version_lowest > hello->version_highest)
		return MALFORMED("versions %u to %u are not a range", hello->version_lowest, hello->version_highest);
	return 0;
}

/* ---- broker channel ---- */

static int validate_check(const struct packet *request, struct detail *detail)
{
	const struct check_request *check = (const void *)request->payload;
	int r = flags_known(request, BROKER_CHECK_USE, detail);

	if (r != 0)
		return r;
	if (check->zero != 0)
		return MALFORMED("padding is not zero");
	return name_valid(check->name, detail);
}

static int validate_open(const struct packet *request, struct detail *detail)
{
	const struct open_request *open = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (open->zero != 0)
		return MALFORMED("padding is not zero");
	return name_valid(open->name, detail);
}

static int validate_revoke(const struct packet *request, struct detail *detail)
{
	const struct revoke_request *revoke = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	return r != 0 ? r : name_valid(revoke->name, detail);
}

static int validate_unquarantine(const struct packet *request, struct detail *detail)
{
	const struct unquarantine_request *release = (const void *)request->payload;
	int r = flags_known(request, BROKER_UNQUARANTINE_FORCE | BROKER_UNQUARANTINE_DRY_RUN, detail);

	if (r != 0)
		return r;
	if (release->zero != 0)
		return MALFORMED("padding is not zero");
	return name_valid(release->name, detail);
}

static int validate_watch(const struct packet *request, struct detail *detail)
{
	const struct watch_request *watch = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (watch->zero != 0)
		return MALFORMED("padding is not zero");
	return 0;
}

static int validate_explain(const struct packet *request, struct detail *detail)
{
	const struct explain_request *explain = (const void *)request->payload;
	size_t length = strnlen(explain->unit, sizeof explain->unit);
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (length == sizeof explain->unit)
		return MALFORMED("the unit does not end with a NUL");
	for (size_t i = length; i < sizeof explain->unit; i++) {
		if (explain->unit[i] != '\0')
			return MALFORMED("the unit is not padded with NULs");
	}
	return name_valid(explain->name, detail);
}

/* ---- device channel ---- */

static int validate_bind(const struct packet *request, struct detail *detail)
{
	const struct bind_request *bind = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (bind->zero != 0)
		return MALFORMED("padding is not zero");
	return 0;
}

static int region_valid(const struct region_request *region, struct detail *detail)
{
	/* The reply, or the request with its struct, must fit one packet. */
	if (region->length == 0 || region->length > REGION_LENGTH_MAX)
		return MALFORMED("length %" PRIu32 " is not in 1 ... %d", region->length, REGION_LENGTH_MAX);
	if (region->offset > UINT64_MAX - region->length)
		return MALFORMED("offset %#" PRIx64 " and length overflow", region->offset);
	if (region->width == 0)
		return 0;
	if (!is_width(region->width))
		return MALFORMED("width %" PRIu32 " is not 0, 1, 2, 4 or 8", region->width);
	/* PCI accesses never cross their own natural alignment. */
	if (region->offset % region->width != 0 || region->length % region->width != 0)
		return MALFORMED("offset %#" PRIx64 " or length %" PRIu32 " is not a multiple of width %" PRIu32,
			region->offset, region->length, region->width);
	return 0;
}

static int validate_region_read(const struct packet *request, struct detail *detail)
{
	int r = flags_known(request, 0, detail);

	return r != 0 ? r : region_valid((const void *)request->payload, detail);
}

static int validate_region_write(const struct packet *request, struct detail *detail)
{
	const struct region_request *region = (const void *)request->payload;
	int r = validate_region_read(request, detail);

	if (r != 0)
		return r;
	if (request->header.length - sizeof *region != region->length)
		return MALFORMED("%zu bytes of data for length %" PRIu32, request->header.length - sizeof *region,
			region->length);
	return 0;
}

static int region_op_valid(const struct region_op *op, uint32_t i, struct detail *detail)
{
	if (op->kind < REGION_OP_READ || op->kind > REGION_OP_POLL)
		return MALFORMED("operation %" PRIu32 ": unknown kind %u", i, op->kind);
	if (!is_width(op->width) || op->offset % op->width != 0)
		return MALFORMED("operation %" PRIu32 ": width %u at offset %#" PRIx64, i, op->width, op->offset);
	if (op->offset > UINT64_MAX - op->width)
		return MALFORMED("operation %" PRIu32 ": offset %#" PRIx64 " overflows", i, op->offset);
	if ((op->kind == REGION_OP_POLL) != (op->timeout_us != 0))
		return MALFORMED("operation %" PRIu32 ": POLL has a timeout, the others have none", i);
	/* Fields without a meaning are zero, so a later version can give such a field a meaning. */
	if (op->kind == REGION_OP_READ && op->value != 0)
		return MALFORMED("operation %" PRIu32 ": READ with a value", i);
	if (op->kind <= REGION_OP_WRITE && op->mask != 0)
		return MALFORMED("operation %" PRIu32 ": a mask without use", i);
	/* Bits beyond the width of the access would be lost without a word. */
	if (op->width < 8 && (op->value | op->mask) >> (8 * op->width) != 0)
		return MALFORMED("operation %" PRIu32 ": value or mask is wider than %u bytes", i, op->width);
	/* The POLL could never succeed, and would only wait. */
	if (op->kind == REGION_OP_POLL && (op->value & ~op->mask) != 0)
		return MALFORMED("operation %" PRIu32 ": POLL for bits outside its mask", i);
	return 0;
}

static int validate_program(const struct packet *request, struct detail *detail)
{
	const struct program_request *program = (const void *)request->payload;
	const struct region_op *ops = (const void *)(request->payload + sizeof *program);
	uint64_t timeouts = 0;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (program->count == 0 || program->count > PROGRAM_OPS_MAX)
		return MALFORMED("%" PRIu32 " operations, not 1 ... %d", program->count, PROGRAM_OPS_MAX);
	if (request->header.length - sizeof *program != program->count * sizeof *ops)
		return MALFORMED("count %" PRIu32 " does not match the length", program->count);
	for (uint32_t i = 0; i < program->count; i++) {
		r = region_op_valid(&ops[i], i, detail);
		if (r != 0)
			return r;
		timeouts += ops[i].timeout_us;
	}
	if (timeouts > PROGRAM_TIMEOUT_MAX_US)
		return MALFORMED(
			"timeouts of %" PRIu64 " us in one program, at most %d", timeouts, PROGRAM_TIMEOUT_MAX_US);
	return 0;
}

static int validate_window(const struct packet *request, struct detail *detail)
{
	const struct window_request *window = (const void *)request->payload;
	int r = flags_known(request, WINDOW_WRITE | WINDOW_ONES, detail);

	if (r != 0)
		return r;
	if (window->length == 0 || window->offset > UINT64_MAX - window->length)
		return MALFORMED("empty, or offset and length overflow");
	return 0;
}

static int validate_irq_range(const struct packet *request, struct detail *detail)
{
	const struct irq_request *irq = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (irq->start > UINT32_MAX - irq->count)
		return MALFORMED("vectors %" PRIu32 " + %" PRIu32 " overflow", irq->start, irq->count);
	return 0;
}

static int validate_irq_set(const struct packet *request, struct detail *detail)
{
	const struct irq_request *irq = (const void *)request->payload;
	int r = validate_irq_range(request, detail);

	if (r != 0)
		return r;
	if (irq->count != request->fds.count)
		return MALFORMED("%" PRIu32 " vectors with %zu eventfds", irq->count, request->fds.count);
	return 0;
}

static int validate_irq_clear(const struct packet *request, struct detail *detail)
{
	const struct irq_request *irq = (const void *)request->payload;
	int r = validate_irq_range(request, detail);

	if (r != 0)
		return r;
	if (irq->count == 0 && irq->start != 0)
		return MALFORMED("count 0 is for the whole interrupt, start 0, not %" PRIu32, irq->start);
	return 0;
}

static int validate_irq_unmask(const struct packet *request, struct detail *detail)
{
	const struct irq_request *irq = (const void *)request->payload;
	int r = validate_irq_range(request, detail);

	if (r != 0)
		return r;
	if (irq->count == 0)
		return MALFORMED("no vectors");
	return 0;
}

/* ---- domain channel ---- */

/* The packet itself bounds the number of elements. */
static int array_valid(const struct packet *request, size_t element_size, struct detail *detail)
{
	const struct array_header *array = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (array->count == 0 || request->header.length - sizeof *array != (uint64_t)array->count * element_size)
		return MALFORMED("count %" PRIu32 " is 0 or does not match the length", array->count);
	return 0;
}

static const void *array_elements(const struct packet *request)
{
	return request->payload + sizeof(struct array_header);
}

static uint32_t array_count(const struct packet *request)
{
	return ((const struct array_header *)(const void *)request->payload)->count;
}

/* MAP_ADDRESS_BITS is a number, and all others are bits. */
static bool address_bits_valid(uint32_t flags)
{
	return (flags & MAP_ADDRESS_BITS) >> 8 <= 64;
}

static int map_element_valid(const struct map_element *e, uint32_t i, struct detail *detail)
{
	const uint32_t access = MAP_DEVICE_READ | MAP_DEVICE_WRITE;
	const uint32_t unknown = e->flags & ~(access | MAP_NEW_MEMORY | MAP_ADDRESS_BITS);

	if (unknown != 0)
		return MALFORMED("element %" PRIu32 ": unknown flags %#" PRIx32, i, unknown);
	if (!address_bits_valid(e->flags))
		return MALFORMED("element %" PRIu32 ": more than 64 address bits", i);
	if (!(e->flags & access))
		return MALFORMED("element %" PRIu32 ": the device may neither read nor write", i);
	if ((e->flags & MAP_NEW_MEMORY) && e->handle != 0)
		return MALFORMED("element %" PRIu32 ": new memory with a handle", i);
	if (e->length == 0 || e->offset > UINT64_MAX - e->length)
		return MALFORMED("element %" PRIu32 ": empty, or offset and length overflow", i);
	if (e->iova != IOVA_ANY && e->iova > UINT64_MAX - e->length)
		return MALFORMED("element %" PRIu32 ": IOVA and length overflow", i);
	return 0;
}

static int validate_map(const struct packet *request, struct detail *detail)
{
	const struct map_element *elements = array_elements(request);
	size_t memories = 0;
	int r = array_valid(request, sizeof *elements, detail);

	for (uint32_t i = 0; r == 0 && i < array_count(request); i++) {
		r = map_element_valid(&elements[i], i, detail);
		memories += !!(elements[i].flags & MAP_NEW_MEMORY);
	}
	if (r == 0 && memories != request->fds.count)
		return MALFORMED("%zu elements bring memory, %zu fds came", memories, request->fds.count);
	return r;
}

static int validate_unmap(const struct packet *request, struct detail *detail)
{
	const struct unmap_element *elements = array_elements(request);
	int r = array_valid(request, sizeof *elements, detail);

	for (uint32_t i = 0; r == 0 && i < array_count(request); i++) {
		if (elements[i].length == 0 || elements[i].iova > UINT64_MAX - elements[i].length)
			return MALFORMED("element %" PRIu32 ": empty, or IOVA and length overflow", i);
	}
	return r;
}

static int validate_forget(const struct packet *request, struct detail *detail)
{
	const struct forget_element *elements = array_elements(request);
	int r = array_valid(request, sizeof *elements, detail);

	for (uint32_t i = 0; r == 0 && i < array_count(request); i++) {
		if (elements[i].zero != 0)
			return MALFORMED("element %" PRIu32 ": padding that is not zero", i);
	}
	return r;
}

static int validate_alloc(const struct packet *request, struct detail *detail)
{
	const struct alloc_element *elements = array_elements(request);
	const uint32_t known = MAP_DEVICE_READ | MAP_DEVICE_WRITE | MAP_HUGE_PAGES | MAP_ADDRESS_BITS;
	int r = array_valid(request, sizeof *elements, detail);

	/* The reply carries one fd per element. */
	if (r == 0 && array_count(request) > FDSET_MAX)
		return MALFORMED("%" PRIu32 " elements, at most %d", array_count(request), FDSET_MAX);
	for (uint32_t i = 0; r == 0 && i < array_count(request); i++) {
		if ((elements[i].flags & ~known) || elements[i].zero != 0 || elements[i].length == 0)
			return MALFORMED("element %" PRIu32 ": unknown flags, padding or no length", i);
		if (!address_bits_valid(elements[i].flags))
			return MALFORMED("element %" PRIu32 ": more than 64 address bits", i);
		if (!(elements[i].flags & (MAP_DEVICE_READ | MAP_DEVICE_WRITE)))
			return MALFORMED("element %" PRIu32 ": the device may neither read nor write", i);
	}
	return r;
}

/* ---- keeper channel ---- */

static int validate_limits(const struct window_limits *limits, struct detail *detail)
{
	if (limits->range_count > WINDOW_RANGES_MAX)
		return MALFORMED("%u window ranges, not 0 ... %d", limits->range_count, WINDOW_RANGES_MAX);
	for (uint32_t i = 0; i < WINDOW_RANGES_MAX; i++) {
		const struct window_range *range = &limits->ranges[i];

		if (range->zero != 0)
			return MALFORMED("window range %u: padding that is not zero", i);
		if (range->first > range->last)
			return MALFORMED("window range %u: ends before it begins", i);
		if (i >= limits->range_count && (range->region != 0 || range->last != 0))
			return MALFORMED("window range %u: not used, and not zero", i);
	}
	return 0;
}

static int lease_valid(const struct lease_request *lease, struct detail *detail)
{
	int r;

	if (lease->zero != 0)
		return MALFORMED("padding is not zero");
	/* The keeper prints the rule. */
	if (!memchr(lease->rule, '\0', sizeof lease->rule))
		return MALFORMED("the rule's text has no end");
	r = validate_limits(&lease->windows, detail);
	return r != 0 ? r : name_valid(lease->name, detail);
}

static int validate_lease(const struct packet *request, struct detail *detail)
{
	const struct lease_request *lease = (const void *)request->payload;
	unsigned int fds = 1U + !!(lease->flags & LEASE_GROUP) + !!(lease->flags & LEASE_WINDOWS);
	int r = flags_known(request, LEASE_GROUP | LEASE_WINDOWS | LEASE_DIRECT, detail);

	if (r != 0)
		return r;
	if (request->fds.count != fds)
		return MALFORMED("%zu fds", request->fds.count);
	return lease_valid(lease, detail);
}

static int validate_query(const struct packet *request, struct detail *detail)
{
	const struct query_request *query = (const void *)request->payload;

	if (query->zero != 0)
		return MALFORMED("padding is not zero");
	return flags_known(request, 0, detail);
}

static int validate_order(const struct packet *request, struct detail *detail)
{
	const struct revoke_order *order = (const void *)request->payload;
	int r = flags_known(request, 0, detail);

	if (r != 0)
		return r;
	if (order->reason < ENDED_ADMINISTRATOR || order->reason > ENDED_ERROR)
		return MALFORMED("reason %" PRIu32 " is no reason to take a device back", order->reason);
	/* The keeper passes the words on and prints them. */
	if (!memchr(order->text, '\0', sizeof order->text))
		return MALFORMED("the words have no end");
	return name_valid(order->name, detail);
}

/* ---- helper channel ---- */

/* The form that all orders share. */
static int order_valid(const struct packet *request, uint32_t flags, struct detail *detail)
{
	const struct helper_order *order = (const void *)request->payload;
	int r = flags_known(request, flags, detail);

	return r != 0 ? r : name_valid(order->name, detail);
}

static int no_driver(const struct helper_order *order, struct detail *detail)
{
	return order->driver[0] == '\0' ? 0 : MALFORMED("a driver's name where none is needed");
}

static int driver_valid(const struct helper_order *order, struct detail *detail)
{
	char quoted[DEVICE_NAME_SIZE * 4 + 1];

	/* The name becomes part of a path, or a line in a file. */
	if (!driver_name_valid(order->driver))
		return MALFORMED("\"%s\" is not the name of a driver",
			refusal_quote(quoted, sizeof quoted, order->driver, DEVICE_NAME_SIZE));
	return 0;
}

static int validate_look(const struct packet *request, struct detail *detail)
{
	const struct helper_order *order = (const void *)request->payload;
	int r = order_valid(request, HELPER_LOOK_IDS | HELPER_LOOK_NODE | HELPER_LOOK_USE, detail);

	if (r != 0)
		return r;
	if (order->flags == 0)
		return MALFORMED("nothing to look at");
	if ((order->flags & HELPER_LOOK_NODE) && order->group == GROUP_NONE)
		return MALFORMED("the node of no group");
	if (request->fds.count > 0 && !(order->flags & HELPER_LOOK_USE))
		return MALFORMED("an inspector for nothing");
	return no_driver(order, detail);
}

/* An order that needs no more than the device. */
static int validate_device_order(const struct packet *request, struct detail *detail)
{
	int r = order_valid(request, 0, detail);

	return r != 0 ? r : no_driver((const void *)request->payload, detail);
}

/* The group, too. */
static int validate_reset_bus(const struct packet *request, struct detail *detail)
{
	const struct helper_order *order = (const void *)request->payload;
	int r = validate_device_order(request, detail);

	return r == 0 && order->group == GROUP_NONE ? MALFORMED("the bus of a device without a group") : r;
}

static int validate_override_set(const struct packet *request, struct detail *detail)
{
	const struct helper_order *order = (const void *)request->payload;
	int r = order_valid(request, 0, detail);

	/* An empty name clears the override. */
	return r != 0 || order->driver[0] == '\0' ? r : driver_valid(order, detail);
}

static int validate_driver_order(const struct packet *request, struct detail *detail)
{
	int r = order_valid(request, 0, detail);

	return r != 0 ? r : driver_valid((const void *)request->payload, detail);
}

/* As validate_lease(), of a request whose files the helper adds; whether there are windows is the helper's to find. */
static int validate_helper_lease(const struct packet *request, struct detail *detail)
{
	int r = flags_known(request, LEASE_GROUP | LEASE_DIRECT, detail);

	return r != 0 ? r : lease_valid((const void *)request->payload, detail);
}

/* ---- the tables ---- */

/* clang-format off */
#define RULE_HELLO {"HELLO", STATE_ANY, sizeof(struct hello_request), 0, 0, 0, validate_hello}
#define RULE_PING  {"PING", STATE_AFTER_HELLO, 0, 0, 0, 0, NULL}
/* clang-format on */

static const struct request_rule broker_rules[BROKER_TYPE_MAX] = {
	[BROKER_HELLO] = RULE_HELLO,
	[BROKER_PING] = RULE_PING,
	[BROKER_LIST] = {"LIST", STATE_READY, sizeof(struct listing_request), 0, 0, 0, validate_flags},
	[BROKER_CHECK] = {"CHECK", STATE_READY, sizeof(struct check_request), 0, 0, 0, validate_check},
	[BROKER_OPEN] = {"OPEN", STATE_READY, sizeof(struct open_request), 0, 0, 0, validate_open},
	[BROKER_STATUS] = {"STATUS", STATE_READY, 0, 0, 0, 0, NULL},
	[BROKER_SESSIONS] = {"SESSIONS", STATE_READY, sizeof(struct listing_request), 0, 0, 0, validate_flags},
	[BROKER_LEASES] = {"LEASES", STATE_READY, sizeof(struct listing_request), 0, 0, 0, validate_flags},
	[BROKER_REVOKE] = {"REVOKE", STATE_READY, sizeof(struct revoke_request), 0, 0, 0, validate_revoke},
	[BROKER_UNQUARANTINE] = {"UNQUARANTINE", STATE_READY, sizeof(struct unquarantine_request), 0, 0, 0,
		validate_unquarantine},
	[BROKER_WATCH] = {"WATCH", STATE_READY, sizeof(struct watch_request), 0, 0, 0, validate_watch},
	[BROKER_POLICY] = {"POLICY", STATE_READY, sizeof(struct listing_request), 0, 0, 0, validate_flags},
	[BROKER_EXPLAIN] = {"EXPLAIN", STATE_READY, sizeof(struct explain_request), sizeof(uint32_t), 0, 0,
		validate_explain},
	[BROKER_PROCESSES] = {"PROCESSES", STATE_READY, sizeof(struct listing_request), 0, 0, 0, validate_flags},
};

static const struct request_rule device_rules[DEVICE_TYPE_MAX] = {
	[DEVICE_HELLO] = RULE_HELLO,
	[DEVICE_PING] = RULE_PING,
	[DEVICE_DESCRIBE] = {"DESCRIBE", STATE_AFTER_HELLO, 0, 0, 0, 0, NULL},
	[DEVICE_BIND] = {"BIND", STATE_READY, sizeof(struct bind_request), 0, 1, 1, validate_bind},
	[DEVICE_UNBIND] = {"UNBIND", STATE_BOUND, 0, 0, 0, 0, NULL},
	[DEVICE_REGION_READ] = {"REGION_READ", STATE_BOUND, sizeof(struct region_request), 0, 0, 0,
		validate_region_read},
	[DEVICE_REGION_WRITE] = {"REGION_WRITE", STATE_BOUND, sizeof(struct region_request), 1, 0, 0,
		validate_region_write},
	[DEVICE_REGION_PROGRAM] = {"REGION_PROGRAM", STATE_BOUND, sizeof(struct program_request),
		sizeof(struct region_op), 0, 0, validate_program},
	[DEVICE_IRQ_SET] = {"IRQ_SET", STATE_BOUND, sizeof(struct irq_request), 0, 1, FDSET_MAX, validate_irq_set},
	[DEVICE_IRQ_CLEAR] = {"IRQ_CLEAR", STATE_BOUND, sizeof(struct irq_request), 0, 0, 0, validate_irq_clear},
	[DEVICE_IRQ_UNMASK] = {"IRQ_UNMASK", STATE_BOUND, sizeof(struct irq_request), 0, 0, 0, validate_irq_unmask},
	[DEVICE_RESET] = {"RESET", STATE_BOUND, 0, 0, 0, 0, NULL},
	[DEVICE_RELEASE] = {"RELEASE", STATE_AFTER_HELLO, 0, 0, 0, 0, NULL},
	[DEVICE_REGION_WINDOW] = {"REGION_WINDOW", STATE_BOUND, sizeof(struct window_request), 0, 0, 0,
		validate_window},
	[DEVICE_FILE] = {"FILE", STATE_BOUND, 0, 0, 0, 0, NULL},
};

static const struct request_rule domain_rules[DOMAIN_TYPE_MAX] = {
	[DOMAIN_HELLO] = RULE_HELLO,
	[DOMAIN_PING] = RULE_PING,
	[DOMAIN_DESCRIBE] = {"DESCRIBE", STATE_READY, 0, 0, 0, 0, NULL},
	[DOMAIN_MAP] = {"MAP", STATE_READY, sizeof(struct array_header), sizeof(struct map_element), 0, FDSET_MAX,
		validate_map},
	[DOMAIN_UNMAP] = {"UNMAP", STATE_READY, sizeof(struct array_header), sizeof(struct unmap_element), 0, 0,
		validate_unmap},
	[DOMAIN_FORGET] = {"FORGET", STATE_READY, sizeof(struct array_header), sizeof(struct forget_element), 0, 0,
		validate_forget},
	[DOMAIN_ALLOC] = {"ALLOC", STATE_READY, sizeof(struct array_header), sizeof(struct alloc_element), 0, 0,
		validate_alloc},
};

static const struct request_rule keeper_rules[KEEPER_TYPE_MAX] = {
	[KEEPER_HELLO] = RULE_HELLO,
	[KEEPER_PING] = RULE_PING,
	[KEEPER_LEASE] = {"LEASE", STATE_READY, sizeof(struct lease_request), 0, 1, 3, validate_lease},
	[KEEPER_QUERY] = {"QUERY", STATE_READY, sizeof(struct query_request), 0, 0, 0, validate_query},
	[KEEPER_REVOKE] = {"REVOKE", STATE_READY, sizeof(struct revoke_order), 0, 0, 0, validate_order},
};

static const struct request_rule helper_rules[HELPER_TYPE_MAX] = {
	[HELPER_HELLO] = RULE_HELLO,
	[HELPER_PING] = RULE_PING,
	[HELPER_LOOK] = {"LOOK", STATE_READY, sizeof(struct helper_order), 0, 0, 1, validate_look},
	[HELPER_OVERRIDE_GET] = {"OVERRIDE_GET", STATE_READY, sizeof(struct helper_order), 0, 0, 0,
		validate_device_order},
	[HELPER_OVERRIDE_SET] = {"OVERRIDE_SET", STATE_READY, sizeof(struct helper_order), 0, 0, 0,
		validate_override_set},
	[HELPER_UNBIND] = {"UNBIND", STATE_READY, sizeof(struct helper_order), 0, 0, 0, validate_driver_order},
	[HELPER_BIND] = {"BIND", STATE_READY, sizeof(struct helper_order), 0, 0, 0, validate_driver_order},
	[HELPER_LEASE] = {"LEASE", STATE_READY, sizeof(struct lease_request), 0, 2, 2, validate_helper_lease},
	[HELPER_QUIET] = {"QUIET", STATE_READY, sizeof(struct helper_order), 0, 0, 0, validate_device_order},
	[HELPER_RESET] = {"RESET", STATE_READY, sizeof(struct helper_order), 0, 0, 0, validate_device_order},
	[HELPER_PROBE] = {"PROBE", STATE_READY, sizeof(struct helper_order), 0, 0, 0, validate_device_order},
	[HELPER_RESET_BUS] = {"RESET_BUS", STATE_READY, sizeof(struct helper_order), 0, 0, 0, validate_reset_bus},
};

const struct request_table broker_table = {CHANNEL_BROKER, broker_rules, BROKER_TYPE_MAX, false};
const struct request_table device_table = {CHANNEL_DEVICE, device_rules, DEVICE_TYPE_MAX, true};
const struct request_table domain_table = {CHANNEL_DOMAIN, domain_rules, DOMAIN_TYPE_MAX, true};
const struct request_table keeper_table = {CHANNEL_KEEPER, keeper_rules, KEEPER_TYPE_MAX, true};
const struct request_table helper_table = {CHANNEL_HELPER, helper_rules, HELPER_TYPE_MAX, true};

static const struct request_rule *rule_of(const struct request_table *table, uint16_t type)
{
	if (type >= table->count || !table->rules[type].name)
		return NULL;
	return &table->rules[type];
}

const char *table_name(const struct request_table *table, uint16_t type)
{
	const struct request_rule *rule = rule_of(table, type);

	return rule ? rule->name : "unknown request";
}

bool table_takes_fds(const struct request_table *table, uint16_t type)
{
	const struct request_rule *rule = rule_of(table, type);

	return rule && rule->fds_max > 0;
}

static int state_refusal(const struct request_rule *rule, enum channel_state state, struct detail *detail)
{
	if (state == STATE_NEW)
		return MALFORMED("%s before HELLO", rule->name);
	if (state == STATE_BOUND)
		return refuse(detail, REFUSAL_ALREADY_BOUND, "%s while bound", rule->name);
	return refuse(detail, REFUSAL_NOT_BOUND, "%s needs a bound device", rule->name);
}

static int size_valid(const struct request_rule *rule, size_t length, struct detail *detail)
{
	if (length < rule->size)
		return MALFORMED("%s: %zu bytes of payload, at least %zu needed", rule->name, length, rule->size);
	if (rule->element_size == 0 ? length != rule->size : (length - rule->size) % rule->element_size != 0)
		return MALFORMED("%s: trailing bytes in a payload of %zu", rule->name, length);
	return 0;
}

int table_check(const struct request_table *table, enum channel_state state, const struct packet *request,
	struct detail *detail)
{
	const struct message_header *header = &request->header;
	const struct request_rule *rule = rule_of(table, header->type);
	int r;

	if (header->flags != 0)
		return MALFORMED("a request has no flags, this one has %#x", header->flags);
	if (header->cookie == 0)
		return MALFORMED("a request has a cookie other than 0");
	if (!rule)
		return refuse(detail, REFUSAL_UNSUPPORTED, "request number %u", header->type);
	r = size_valid(rule, header->length, detail);
	if (r != 0)
		return r;
	if (request->fds.count < rule->fds_min || request->fds.count > rule->fds_max)
		return MALFORMED("%s: %zu file descriptors, not %u to %u", rule->name, request->fds.count,
			rule->fds_min, rule->fds_max);
	r = rule->validate ? rule->validate(request, detail) : 0;
	if (r != 0)
		return r;
	return rule->states & state ? 0 : state_refusal(rule, state, detail);
}

int table_hello(const struct request_table *table, uint64_t features, const struct packet *request,
	struct packet *reply, struct detail *detail)
{
	const struct hello_request *hello = (const void *)request->payload;
	struct hello_reply *answer;

	if (hello->version_lowest > MESSAGE_VERSION)
		return refuse(detail, REFUSAL_UNSUPPORTED, "versions %u to %u; this side speaks %d",
			hello->version_lowest, hello->version_highest, MESSAGE_VERSION);
	answer = packet_append(reply, sizeof *answer);
	answer->version = MESSAGE_VERSION;
	answer->kind = (uint16_t)table->kind;
	answer->packet_max = MESSAGE_SIZE_MAX;
	answer->features = hello->features & features;
	return 0;
}
