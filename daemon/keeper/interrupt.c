/* SPDX-License-Identifier: MIT */
#include "interrupt.h"
#include "foreign_fd.h"
#include "state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdalign.h>
#include <string.h>
#include <sys/eventfd.h>

/* VFIO_DEVICE_SET_IRQS with one eventfd per vector. */
union irq_set {
	struct vfio_irq_set set;
	struct {
		struct vfio_irq_set head;
		int32_t fds[FDSET_MAX];
	} data;
};
static_assert(offsetof(union irq_set, data.fds) == offsetof(struct vfio_irq_set, data), "fds follow the head");

static const char *const kinds[] = {"INTx", "MSI", "MSI-X"};

void interrupt_init(struct device *device)
{
	device->unplug = -1;
	device->fault = -1;
	device->irq_on = INTERRUPT_NONE;
}

int interrupt_discover(struct device *device, uint32_t count)
{
	device->irq_on = INTERRUPT_NONE;
	device->irq_count = count < IRQS_MAX ? count : IRQS_MAX;
	for (uint32_t i = 0; i < device->irq_count; i++) {
		struct vfio_irq_info info = {.argsz = sizeof info, .index = i};
		int r = device->group->kernel->irq_info(device->fd, &info);

		/* Only PCI Express devices have the error interrupt; other devices answer EINVAL: not there. */
		if (r < 0 && r != -EINVAL)
			return r;
		device->irqs[i] = (struct interrupt){0};
		if (r == 0)
			device->irqs[i] = (struct interrupt){info.flags, info.count};
	}
	return 0;
}

void interrupt_forget(struct device *device)
{
	fd_cleanup(&device->unplug);
	fd_cleanup(&device->fault);
	device->irq_count = 0;
}

static int control(
	const struct device *device, union irq_set *set, uint32_t index, uint32_t start, uint32_t count, uint32_t flags)
{
	bool fds = flags & VFIO_IRQ_SET_DATA_EVENTFD;

	set->set.argsz = (uint32_t)(sizeof set->set + (fds ? count * sizeof set->data.fds[0] : 0));
	set->set.flags = flags;
	set->set.index = index;
	set->set.start = start;
	set->set.count = count;
	return device->group->kernel->irq_set(device->fd, &set->set);
}

static int failed(const struct device *device, const struct irq_request *request, const char *what, int error,
	struct detail *detail)
{
	refuse(detail, REFUSAL_FAILED, "%s %s of %s, vectors %" PRIu32 " + %" PRIu32 ": %s", what,
		kinds[request->index], device->lease.name, request->start, request->count, strerror(-error));
	return error;
}

/* Which requests a client may make at all. The error and device request interrupts are the keeper's. */
static int check(const struct device *device, const struct irq_request *request, struct detail *detail)
{
	const struct interrupt *irq = &device->irqs[request->index < IRQS_MAX ? request->index : 0];

	if (request->index > VFIO_PCI_MSIX_IRQ_INDEX)
		return refuse(detail, REFUSAL_UNSUPPORTED,
			"interrupt %" PRIu32 ": there are INTx (%d), MSI (%d), MSI-X (%d)", request->index,
			VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX);
	if (request->index >= device->irq_count || irq->count == 0)
		return refuse(detail, REFUSAL_UNSUPPORTED, "%s has no %s", device->lease.name, kinds[request->index]);
	if (request->start > irq->count || irq->count - request->start < request->count)
		return refuse(detail, REFUSAL_MALFORMED, "vectors %" PRIu32 " + %" PRIu32 ": %s of %s has %" PRIu32,
			request->start, request->count, kinds[request->index], device->lease.name, irq->count);
	return 0;
}

/* Refuses requests that conflict with the interrupts switched on; the kernel's EINVAL would not tell the reason. */
static int check_on(const struct device *device, const struct irq_request *request, struct detail *detail)
{
	if (device->irq_on == INTERRUPT_NONE)
		return 0;
	if (device->irq_on != request->index)
		return refuse(detail, REFUSAL_UNSUPPORTED,
			"%s of %s is in use already, and only one of INTx, MSI and MSI-X can be; IRQ_CLEAR it first",
			kinds[device->irq_on], device->lease.name);
	if ((device->irqs[request->index].flags & VFIO_IRQ_INFO_NORESIZE) &&
		request->start + request->count > device->irq_vectors)
		return refuse(detail, REFUSAL_UNSUPPORTED,
			"%s of %s is on with %" PRIu32 " vectors and this kernel cannot add some; "
			"set the highest one first, or IRQ_CLEAR all and set all at once",
			kinds[request->index], device->lease.name, device->irq_vectors);
	return 0;
}

static int find_wrong_fd(const struct device *device, const struct irq_request *request, const struct fdset *eventfds,
	struct detail *detail)
{
	for (uint32_t i = 0; i < request->count; i++) {
		if (!foreign_fd_is_eventfd(eventfds->fds[i]))
			return refuse(detail, REFUSAL_MALFORMED, "vector %" PRIu32 " of %s: %s is not an eventfd",
				request->start + i, device->lease.name, foreign_fd_name(eventfds->fds[i]));
	}
	return 0;
}

int interrupt_set(
	struct device *device, const struct irq_request *request, const struct fdset *eventfds, struct detail *detail)
{
	union irq_set set;
	int r = check(device, request, detail);

	if (r == 0)
		r = check_on(device, request, detail);
	if (r == 0)
		r = find_wrong_fd(device, request, eventfds, detail);
	if (r != 0)
		return r;
	memcpy(set.data.fds, eventfds->fds, request->count * sizeof set.data.fds[0]);
	r = control(device, &set, request->index, request->start, request->count,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
	if (r == -EBUSY)
		return refuse(detail, REFUSAL_UNSUPPORTED, "%s of %s cannot be shared with the host: %s",
			kinds[request->index], device->lease.name, strerror(-r));
	if (r < 0)
		return failed(device, request, "set", r, detail);
	if (device->irq_on == INTERRUPT_NONE || request->start + request->count > device->irq_vectors)
		device->irq_vectors = request->start + request->count;
	device->irq_on = request->index;
	return 0;
}

int interrupt_clear(struct device *device, const struct irq_request *request, struct detail *detail)
{
	union irq_set set;
	uint32_t count = request->count;
	int r = check(device, request, detail);

	if (r != 0)
		return r;
	if (device->irq_on != request->index)
		return 0;
	if (count == 0) {
		r = interrupt_off(device);
		return r < 0 ? failed(device, request, "clear", r, detail) : 0;
	}
	if (request->start >= device->irq_vectors)
		return 0;
	if (count > device->irq_vectors - request->start)
		count = device->irq_vectors - request->start;
	/* -1 takes a vector's eventfd away and leaves the other vectors on. */
	memset(set.data.fds, 0xff, sizeof set.data.fds);
	for (uint32_t done = 0; done < count; done += FDSET_MAX) {
		uint32_t part = count - done < FDSET_MAX ? count - done : FDSET_MAX;

		r = control(device, &set, request->index, request->start + done, part,
			VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
		if (r < 0)
			return failed(device, request, "clear", r, detail);
	}
	return 0;
}

int interrupt_unmask(struct device *device, const struct irq_request *request, struct detail *detail)
{
	union irq_set set;
	int r = check(device, request, detail);

	if (r != 0)
		return r;
	if (!(device->irqs[request->index].flags & VFIO_IRQ_INFO_MASKABLE))
		return refuse(detail, REFUSAL_UNSUPPORTED, "%s of %s is never masked", kinds[request->index],
			device->lease.name);
	if (device->irq_on != request->index)
		return refuse(detail, REFUSAL_UNSUPPORTED, "%s of %s is not on; IRQ_SET comes first",
			kinds[request->index], device->lease.name);
	r = control(device, &set, request->index, request->start, request->count,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK);
	return r < 0 ? failed(device, request, "unmask", r, detail) : 0;
}

/* An eventfd signalled by the interrupt INDEX, owned by the caller, or -1: kernel or device does not have the
 * interrupt. */
static int arm_host_event(const struct device *device, uint32_t index)
{
	OWNED_FD event = -1;
	union irq_set set;

	if (device->irq_count <= index || device->irqs[index].count == 0)
		return -1;
	event = eventfd(0, EFD_CLOEXEC);
	if (event < 0)
		return -1;
	set.data.fds[0] = event;
	if (control(device, &set, index, 0, 1, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER) < 0)
		return -1;
	return fd_take(&event);
}

void interrupt_arm_host_events(struct device *device)
{
	device->unplug = arm_host_event(device, VFIO_PCI_REQ_IRQ_INDEX);
	device->fault = arm_host_event(device, VFIO_PCI_ERR_IRQ_INDEX);
}

int interrupt_off(struct device *device)
{
	union irq_set set;
	int r;

	if (device->irq_on == INTERRUPT_NONE)
		return 0;
	r = control(device, &set, device->irq_on, 0, 0, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER);
	if (r == 0)
		device->irq_on = INTERRUPT_NONE;
	return r;
}
