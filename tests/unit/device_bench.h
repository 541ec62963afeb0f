/* SPDX-License-Identifier: MIT */
#ifndef DEVICE_BENCH_H
#define DEVICE_BENCH_H

#include "keeper_bench.h"
#include "message.h"
#include "unit.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>

/* Requests of one device channel. */

/* ---- interrupts ---- */

static inline int irq(struct bench *b, uint16_t type, uint32_t index, uint32_t start, uint32_t count, const int *fds)
{
	struct irq_request request = {0, index, start, count};

	return bench_call_fds(b, b->clients[0], type, &request, sizeof request, fds, fds ? count : 0);
}

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX

/* ---- the end of a lease ---- */

static inline void assert_free(const struct bench *b, size_t i)
{
	assert_int_equal(b->group->devices[i].opened, 0);
	assert_int_equal(bench_command(b, i) & PCI_COMMAND_MASTER, 0);
}

#endif
