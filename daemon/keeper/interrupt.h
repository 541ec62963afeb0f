/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_INTERRUPT_H
#define KEEPER_INTERRUPT_H

#include "fdset.h"
#include "message.h"
#include "refusal.h"

#include <stdint.h>

struct device;

/* Of a device whose memory is zeroed: none is on, nothing is known. */
void interrupt_init(struct device *device);

/* Asks the kernel for all interrupts of a device that was just opened. Returns 0 or a negative errno. */
int interrupt_discover(struct device *device, uint32_t count);

/* The device is closed: closes its eventfds; nothing is known of it. */
void interrupt_forget(struct device *device);

/* The requests IRQ_SET (EVENTFDS stay the caller's; the kernel has its own references then), IRQ_CLEAR, IRQ_UNMASK. */
int interrupt_set(
	struct device *device, const struct irq_request *request, const struct fdset *eventfds, struct detail *detail);
int interrupt_clear(struct device *device, const struct irq_request *request, struct detail *detail);
int interrupt_unmask(struct device *device, const struct irq_request *request, struct detail *detail);

/*
 * Asks to be told, by device->unplug, when the host wants the device back: for hot-unplug, or because somebody
 * unbinds vfio-pci. The host waits until it is closed. And by device->fault, when the device reports an uncorrectable error. A
 * kernel or device that cannot tell is as good as before.
 */
void interrupt_watch(struct device *device);

/* Switches what the client set off. Returns 0 or a negative errno. */
int interrupt_off(struct device *device);

#endif
