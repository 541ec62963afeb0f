/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "device.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

static_assert(sizeof(struct region_request) + REGION_LENGTH_MAX <= MESSAGE_PAYLOAD_MAX, "a write fits a packet");
static_assert(sizeof(struct program_request) + PROGRAM_OPS_MAX * sizeof(struct region_op) <= MESSAGE_PAYLOAD_MAX,
	"a program fits a packet");

static const struct requester_reply nothing = {0};

/* ---- a piece of at most REGION_LENGTH_MAX bytes ---- */

static void fill(struct region_request *request, uint32_t region, uint64_t offset, size_t length, unsigned int width)
{
	request->region = region;
	request->offset = offset;
	request->length = (uint32_t)length;
	request->width = width;
}

static int read_piece(
	struct requester *channel, uint32_t region, uint64_t offset, void *data, size_t length, unsigned int width)
{
	const struct requester_reply expected = {.size = length};
	int r;

	fill(requester_begin(channel, DEVICE_REGION_READ, sizeof(struct region_request)), region, offset, length,
		width);
	r = requester_call(channel, &expected);
	if (r == 0)
		memcpy(data, channel->packet.payload, length);
	return r;
}

static int write_piece(struct requester *channel, uint32_t region, uint64_t offset, const void *data, size_t length,
	unsigned int width)
{
	struct region_request *request = requester_begin(channel, DEVICE_REGION_WRITE, sizeof *request + length);

	fill(request, region, offset, length, width);
	memcpy(request + 1, data, length);
	return requester_call(channel, &nothing);
}

/* ---- a single value ---- */

static bool is_width(unsigned int width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

int vbroker_region_read(
	struct vbroker_device *device, uint32_t region, uint64_t offset, unsigned int width, uint64_t *ret_value)
{
	uint64_t value = 0;
	int r;

	detail_clear();
	if (!is_width(width))
		return detail_set(-EINVAL, "width %u is not 1, 2, 4 or 8", width);
	r = read_piece(&device->channel, region, offset, &value, width, width);
	if (r == 0)
		*ret_value = le64toh(value);
	return r;
}

int vbroker_region_write(
	struct vbroker_device *device, uint32_t region, uint64_t offset, unsigned int width, uint64_t value)
{
	uint64_t little = htole64(value);

	detail_clear();
	if (!is_width(width))
		return detail_set(-EINVAL, "width %u is not 1, 2, 4 or 8", width);
	return write_piece(&device->channel, region, offset, &little, width, width);
}

/* ---- many bytes ---- */

int vbroker_region_read_bytes(
	struct vbroker_device *device, uint32_t region, uint64_t offset, void *data, size_t length, unsigned int width)
{
	int r = 0;

	detail_clear();
	for (size_t done = 0, piece; r == 0 && done < length; done += piece) {
		piece = length - done < REGION_LENGTH_MAX ? length - done : REGION_LENGTH_MAX;
		r = read_piece(&device->channel, region, offset + done, (char *)data + done, piece, width);
	}
	return r;
}

int vbroker_region_write_bytes(struct vbroker_device *device, uint32_t region, uint64_t offset, const void *data,
	size_t length, unsigned int width)
{
	int r = 0;

	detail_clear();
	for (size_t done = 0, piece; r == 0 && done < length; done += piece) {
		piece = length - done < REGION_LENGTH_MAX ? length - done : REGION_LENGTH_MAX;
		r = write_piece(&device->channel, region, offset + done, (const char *)data + done, piece, width);
	}
	return r;
}

/* ---- programs ---- */

/* The wire wants zero where a field has no meaning; the caller's struct may hold values of an earlier use there.
 * Values too large for the narrower fields of the wire are refused here, because the keeper would never see them. */
static int encode_op(struct region_op *wire, const struct vbroker_op *op, size_t i)
{
	bool polls = op->kind == VBROKER_OP_POLL;
	bool masks = polls || op->kind == VBROKER_OP_MODIFY;

	if (op->kind < VBROKER_OP_READ || op->kind > VBROKER_OP_POLL || !is_width(op->width) || op->region > UINT16_MAX)
		return detail_set(-EINVAL, "operation %zu: kind %d, width %u, region %u", i, (int)op->kind, op->width,
			op->region);
	*wire = (struct region_op){
		.kind = (uint8_t)op->kind,
		.width = (uint8_t)op->width,
		.region = (uint16_t)op->region,
		.timeout_us = polls ? op->timeout_us : 0,
		.offset = op->offset,
		.value = op->kind == VBROKER_OP_READ ? 0 : op->value,
		.mask = masks ? op->mask : 0,
	};
	return 0;
}

static int program_result(const struct program_reply *reply, const struct vbroker_op *ops)
{
	const struct vbroker_op *op = &ops[reply->done];

	if (reply->stop == PROGRAM_COMPLETE)
		return 0;
	if (reply->stop == PROGRAM_TIMED_OUT)
		return detail_set(-ETIMEDOUT,
			"operation %u: (region %u offset %#llx & %#llx) did not become %#llx in %u us, it is %#llx",
			reply->done, op->region, (unsigned long long)op->offset, (unsigned long long)op->mask,
			(unsigned long long)op->value, op->timeout_us, (unsigned long long)(op->result & op->mask));
	return detail_set(-EIO, "operation %u: access of %u bytes to region %u offset %#llx: %s", reply->done,
		op->width, op->region, (unsigned long long)op->offset,
		reply->error > 0 && reply->error < 4096 ? strerrordesc_np((int)reply->error) : "no reason given");
}

static bool program_reply_valid(const struct packet *packet, size_t count)
{
	const struct program_reply *reply = packet_body(packet, sizeof *reply);

	if (reply->count != count || packet->header.length != sizeof *reply + count * sizeof(uint64_t))
		return false;
	return reply->stop == PROGRAM_COMPLETE ? reply->done == count
					       : reply->stop <= PROGRAM_FAILED && reply->done < count;
}

int vbroker_region_program(struct vbroker_device *device, struct vbroker_op *ops, size_t count, size_t *ret_done)
{
	static const struct requester_reply expected = {
		.size = sizeof(struct program_reply),
		.element_size = sizeof(uint64_t),
	};
	struct program_request *request;
	const struct program_reply *reply;
	int r;

	detail_clear();
	if (count == 0 || count > VBROKER_PROGRAM_MAX)
		return detail_set(-EINVAL, "%zu operations, not 1 to %d", count, VBROKER_PROGRAM_MAX);
	request = requester_begin(
		&device->channel, DEVICE_REGION_PROGRAM, sizeof *request + count * sizeof(struct region_op));
	request->count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		r = encode_op((struct region_op *)(request + 1) + i, &ops[i], i);
		if (r != 0)
			return r;
	}
	r = requester_call(&device->channel, &expected);
	if (r != 0)
		return r;
	if (!program_reply_valid(&device->channel.packet, count))
		return detail_set(-EPROTO, "the results do not fit the program");
	reply = packet_body(&device->channel.packet, sizeof *reply);
	for (size_t i = 0; i < count; i++)
		ops[i].result = ((const uint64_t *)(reply + 1))[i];
	*ret_done = reply->done;
	return program_result(reply, ops);
}
