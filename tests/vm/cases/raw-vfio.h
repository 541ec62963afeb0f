/* SPDX-License-Identifier: MIT */
#ifndef RAW_VFIO_H
#define RAW_VFIO_H

#include "vfio_window.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A device straight from VFIO, without the broker, and windows over it. What must work ends the program when it does
 * not (verdict_die); the other functions return a negative errno.
 */

struct raw_vfio {
	int container;
	int group;
	int device;
};

struct raw_region {
	uint64_t offset; /* in the device file */
	uint64_t size;
};

void raw_vfio_open(struct raw_vfio *ret, const char *address);
void raw_vfio_close(struct raw_vfio *vfio);
struct raw_region raw_vfio_region(const struct raw_vfio *vfio, unsigned index);
/* Of the bits of PCI_COMMAND that are in @mask. */
void raw_vfio_command(const struct raw_vfio *vfio, uint16_t mask, uint16_t bits);
/* No mapping reaches the device as long as it may sleep. */
void raw_vfio_sleep(const struct raw_vfio *vfio, bool may_sleep);
/* At an address that is a multiple of 2 MiB, as is its offset in a BAR, so that it may get huge pages. */
void *raw_map(int fd, int protection, uint64_t size, uint64_t offset);
long raw_map_dma(const struct raw_vfio *vfio, const void *memory, uint64_t size, int writable);
void raw_unmap_dma(const struct raw_vfio *vfio, uint64_t size);

/* Through sysfs. */
void raw_write_file(const char *path, const char *text);
void raw_bind(const char *address);
void raw_unbind(const char *address);

/* VFIO_WINDOW_NODE, opened */
int raw_control(void);
/* A window's descriptor. */
long raw_window(int control, int device, uint32_t flags, uint64_t offset, uint64_t size);
long raw_revoke(int control);
/* Refuses and unmaps, and does not wait for page faults. */
long raw_revoke_now(int control);
struct vfio_window_info raw_info(int control);

#endif
