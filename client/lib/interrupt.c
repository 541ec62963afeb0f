/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "device.h"

#include <errno.h>

static const struct requester_reply nothing = {0};

static void begin(struct requester *channel, uint16_t type, uint32_t index, uint32_t start, uint32_t count)
{
	struct irq_request *request = requester_begin(channel, type, sizeof *request);

	request->index = index;
	request->start = start;
	request->count = count;
}

int vbroker_irq_set(struct vbroker_device *device, uint32_t index, uint32_t start, const int *eventfds, uint32_t count)
{
	int r = 0;

	detail_clear();
	if (count == 0 || count > FDSET_MAX)
		return detail_set(-EINVAL, "%u vectors in one call, not 1 to %d", count, FDSET_MAX);
	begin(&device->channel, DEVICE_IRQ_SET, index, start, count);
	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = requester_attach(&device->channel, eventfds[i]);
	if (r != 0) {
		requester_clear(&device->channel);
		return r;
	}
	return requester_call(&device->channel, &nothing);
}

int vbroker_irq_clear(struct vbroker_device *device, uint32_t index, uint32_t start, uint32_t count)
{
	detail_clear();
	begin(&device->channel, DEVICE_IRQ_CLEAR, index, start, count);
	return requester_call(&device->channel, &nothing);
}

int vbroker_irq_unmask(struct vbroker_device *device, uint32_t index, uint32_t start, uint32_t count)
{
	detail_clear();
	begin(&device->channel, DEVICE_IRQ_UNMASK, index, start, count);
	return requester_call(&device->channel, &nothing);
}
