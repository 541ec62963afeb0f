/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_INTERRUPT_H
#define KEEPER_INTERRUPT_H

#include "fdset.h"
#include "message.h"
#include "refusal.h"

#include <stdint.h>

struct device;

/* For a new device in zeroed memory: no interrupt is on, none is known. */
void interrupt_init(struct device *device);

/* Asks the kernel for all interrupts of a device just opened. Returns 0 or a negative errno. */
int interrupt_discover(struct device *device, uint32_t count);

/* For a device just closed: closes its eventfds, forgets its interrupts. */
void interrupt_forget(struct device *device);

/* The requests IRQ_SET, IRQ_CLEAR, IRQ_UNMASK. EVENTFDS stay the caller's; the kernel takes references of its own. */
int interrupt_set(
	struct device *device, const struct irq_request *request, const struct fdset *eventfds, struct detail *detail);
int interrupt_clear(struct device *device, const struct irq_request *request, struct detail *detail);
int interrupt_unmask(struct device *device, const struct irq_request *request, struct detail *detail);

/*
 * Has the kernel signal device->unplug when the host wants the device back: for hot-unplug, or because somebody unbinds
 * vfio-pci. The host waits until the device is closed. device->fault is signalled when the device reports an
 * uncorrectable error. A kernel or device without these signals is no failure: the eventfd is -1 then.
 */
void interrupt_arm_host_events(struct device *device);

/* Switches the client's interrupts off. Returns 0 or a negative errno. */
int interrupt_off(struct device *device);

#endif
