/* SPDX-License-Identifier: MIT */
#ifndef FAKE_CONTAINER_H
#define FAKE_CONTAINER_H

#include "domain_kernel.h"
#include "kernel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A model of VFIO's containers, groups and devices, with the kernel's errnos.
 * tests/unit/kernel_rows.c compares it with the real one, row by row.
 *
 * The state of a container or group is the content of a file, which every process that has a descriptor of it maps.
 * So a client, a broker and keepers that are different processes see one kernel. Only interrupts are private to the
 * process that has the device.
 *
 * A process that dies takes its groups out of their containers, as the kernel would: who attached a group holds a
 * robust mutex in both files.
 */

/* Where a failure can be injected: the operations of the two kernel structs. */
enum fake_step {
	FAKE_OPEN,
	FAKE_SETUP,
	FAKE_STATUS,
	FAKE_ATTACH,
	FAKE_DETACH,
	FAKE_DEVICE_GET,
	FAKE_DEVICE_INFO,
	FAKE_REGION_INFO,
	FAKE_IRQ_INFO,
	FAKE_IRQ_SET,
	FAKE_RESET,
	FAKE_READ,
	FAKE_WRITE,
	FAKE_WINDOW_CREATE,
	FAKE_WINDOW_INFO,
	FAKE_WINDOW_REVOKE,
	FAKE_INFO,
	FAKE_MAP,
	FAKE_UNMAP,
	FAKE_STEPS,
};

/* From now on STEP fails with ERROR (positive; 0: works again), for all containers and groups of this process. */
void fake_kernel_fail(enum fake_step step, int error);

/* ---- containers ---- */

#define FAKE_MAPPINGS_MAX 65535 /* type1's dma_entry_limit */
#define FAKE_GROUPS_MAX	  16	/* in one container */
#define FAKE_MSI_FIRST	  UINT64_C(0xfee00000)
#define FAKE_MSI_LAST	  UINT64_C(0xfeefffff)

struct fake_mapping {
	uint64_t iova;
	uint64_t size;
	uint64_t vaddr;
	int32_t pid; /* whose memory it is, and whose RLIMIT_MEMLOCK */
	uint32_t flags;
};

struct fake_attachment {
	bool used;
	bool no_remapping;
	uint32_t group;
	pthread_mutex_t life; /* held by whoever attached the group */
};

struct fake_container {
	uint64_t magic;
	pthread_mutex_t lock;
	int failures[FAKE_STEPS]; /* as fake_kernel_fail(), but of this container and for all processes */
	uint32_t page_size;
	uint32_t width; /* bits of an IOVA */
	bool iommu;	/* SET_IOMMU was done */
	struct fake_attachment attachments[FAKE_GROUPS_MAX];
	uint32_t mapping_count;
	struct fake_mapping mappings[FAKE_MAPPINGS_MAX]; /* sorted by IOVA */
};

/* Opens a fresh one: a descriptor owned by the caller, or a negative errno. */
int fake_container_open(void);
bool fake_container_check(int fd);

/* The content of FD, or NULL if it is not a container. Valid as long as FD is open. Dead processes' groups have been
 * taken out. */
struct fake_container *fake_container_view(int fd);

/* The same for the container that a group of this process is attached to. */
struct fake_container *fake_container_at(uint64_t inode);

/* ---- groups ---- */

#define FAKE_DEVICES_MAX 4
#define FAKE_BAR0_SIZE	 65536
#define FAKE_CONFIG_SIZE 256
#define FAKE_MSI_COUNT	 4
#define FAKE_MSIX_COUNT	 8
#define FAKE_MSIX_TABLE	 0x8000 /* in BAR 0 */
#define FAKE_PAGE_SIZE	 4096

/*
 * Registers of BAR 0, 32 bits wide; the first three are QEMU's edu device's. The rest of the BAR is memory.
 * 0x60: writing N signals vector N of whatever interrupt is on.
 * 0x30: writing N makes 0x34 read 0, and 1 after N microseconds.
 */
#define FAKE_REG_ID	  0x00 /* 0x010000ed */
#define FAKE_REG_LIVENESS 0x04 /* reads what was written, inverted */
#define FAKE_REG_RAISE	  0x60
#define FAKE_REG_DELAY	  0x30
#define FAKE_REG_DONE	  0x34

struct fake_device {
	char name[32]; /* empty: not there */
	bool resettable;
	bool express;	   /* has the error interrupt, which only PCI Express devices have */
	bool vanished;	   /* its registers read all ones: pulled out of its slot */
	uint32_t opened;   /* open descriptors */
	uint32_t resets;   /* since it was made */
	uint64_t ready_ns; /* FAKE_REG_DONE is 1 from then on (CLOCK_MONOTONIC) */
	uint8_t config[FAKE_CONFIG_SIZE];
	uint8_t bar0[FAKE_BAR0_SIZE];
};

struct fake_group {
	uint64_t magic;
	pthread_mutex_t lock;
	int failures[FAKE_STEPS];
	uint32_t number;
	bool viable;
	bool no_remapping;  /* the IOMMU cannot remap interrupts */
	bool hang;	    /* detaching hangs until this is false again (hazard 1) */
	uint64_t container; /* inode number, or 0: not attached */
	pthread_mutex_t life;
	struct fake_device devices[FAKE_DEVICES_MAX];
};

/* A group of one edu-like device per NAME (NULL ends them), in an anonymous file: a descriptor owned by the caller. */
int fake_group_create(uint32_t number, bool viable, const char *const *names);

/* The same in the file of FD, whatever it held: 0 or a negative errno. FD is open for reading and writing. */
int fake_group_format(int fd, uint32_t number, bool viable, const char *const *names);

/* As fake_container_view(). */
struct fake_group *fake_group_view(int fd);

/* The device NAME of the group, or NULL. */
struct fake_device *fake_group_device(struct fake_group *group, const char *name);

/* As if the host wanted the device back: signals the device request interrupts of this process. Returns how many. */
int fake_device_request(const struct fake_device *device);

/* The same for the error interrupts: it reports an uncorrectable error. */
int fake_device_fault(const struct fake_device *device);

/* ---- the kernel ---- */

extern const struct vfio_kernel fake_vfio;
extern const struct domain_kernel fake_domain;

/* ---- between the files of the fake ---- */

/* The negative errno that was injected for STEP, or 0. FAILURES may be NULL. */
int fake_failure(enum fake_step step, const int *failures);

/* A mutex of shared memory, whose owners may die. */
void fake_lock(pthread_mutex_t *mutex);
void fake_unlock(pthread_mutex_t *mutex);

/* True if a living process holds LIFE. */
bool fake_alive(pthread_mutex_t *life);

#endif
