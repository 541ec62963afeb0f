/* SPDX-License-Identifier: MIT */
#ifndef WINDOW_MODULE_H
#define WINDOW_MODULE_H

#include "raw-vfio.h"

#include <stdbool.h>
#include <stdint.h>

/* The devices: their PCI addresses. */
extern const char *window_memory; /* BAR 2 is memory, at least 16 MiB; no BAR 1, 4 and 5 */
extern const char *window_ports;  /* BAR 0 is memory, BAR 1 is I/O ports */
/* can be reset; BAR 0 are registers, of which the one at 8 does not change (NVMe: its version) */
extern const char *window_resetable;
extern const char *window_large; /* BAR 2 is memory, a GiB */

#define PAGE	   4096
#define MEMORY_BAR 2

/* The first device, open, and a control file. */
struct ground {
	struct raw_vfio vfio;
	struct raw_region bar;
	int control;
	uint8_t *direct; /* VFIO's own mapping of the BAR; each page begins with its mark */
};

void ground_open(struct ground *ret);
void ground_close(struct ground *ground);

/* What page @index of the BAR begins with. Neither it nor a part of it is all ones or 0. */
uint64_t ground_mark(uint64_t index);

/* A window over pages of the BAR; a failure ends the program. */
int ground_window(const struct ground *ground, uint32_t flags, uint64_t first, uint64_t pages);

/* Whether the first of @pages pages at @address reads as page @first of the BAR does, and so on. */
bool ground_seen(const uint8_t *address, uint64_t first, uint64_t pages);

/* The number of pages of which a read of @width bytes at @at ends with @signal or else gives @value. */
uint64_t ground_count(const uint8_t *address, uint64_t pages, unsigned width, int signal, uint64_t value);

/* The subjects. */
void window_creation(struct ground *ground);
void window_mapping(struct ground *ground);
void window_walkers(struct ground *ground);
void window_others(struct ground *ground);
void window_ones(struct ground *ground);
void window_ones_race(struct ground *ground);
void window_enable(struct ground *ground);
void window_reset(struct ground *ground);
void window_huge(struct ground *ground);
void window_softdirty(struct ground *ground);
void window_flood(struct ground *ground);
void window_dma(struct ground *ground);
void window_iommufd(struct ground *ground);
/* These open what they need themselves. */
void window_revocation(void);
void window_leftover(void);
void window_starved(void);
void window_pud(void);
/* not among those that run by themselves: future_driver has the first device then */
void window_future(void);

#endif
