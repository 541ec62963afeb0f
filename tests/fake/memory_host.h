/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_HOST_H
#define MEMORY_HOST_H

#include "hardware.h"
#include "host/host.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A host of a few devices in memory, with the kernel's rules for drivers (file_tree.h has them in words). For unit
 * tests and fuzz targets.
 */

#define MEMORY_DEVICES_MAX 8

/* Steps that can be made to fail. */
enum memory_step {
	MEMORY_PROBE,
	MEMORY_INSPECT,
	MEMORY_OVERRIDE,
	MEMORY_UNBIND,
	MEMORY_BIND,
	MEMORY_QUIET,
	MEMORY_RESET,
	MEMORY_GROUP,
	MEMORY_WINDOW,
	MEMORY_STEPS,
};

struct memory_device {
	struct host_device device;
	struct host_device at_start; /* as it is given back */
	char override[DRIVER_NAME_SIZE];
	char use[64];	  /* what the host does with it; empty: nothing */
	uint16_t command; /* register of the configuration space */
	bool present;
	bool stubborn;	 /* there is no way to reset it */
	bool shares_bus; /* it is reset with all of its group, or not at all */
	int resets;	 /* how often a helper has reset it */
	bool dead;	 /* its configuration space reads all ones */
};

struct memory_host {
	struct memory_device devices[MEMORY_DEVICES_MAX];
	size_t count;
	int failures[MEMORY_STEPS];	   /* errno; 0: works */
	int look_failure;		   /* the same for look() */
	int calls;			   /* of functions about one device, since the last reset */
	int looks;			   /* how often the broker has asked about a device */
	int fails_at, fails_with;	   /* the call of this number fails with this errno; 0: none does */
	int dies_before;		   /* the process ends instead of making the call of this number; 0: never */
	char new_driver[DRIVER_NAME_SIZE]; /* takes devices by driver_probe(); "": none does */
	bool failed;			   /* a failure was met: devices need not be what they were */
	int (*group_open)(uint32_t group); /* NULL: any number of times, and it is nothing */
};

/* The exit status of a process that ended by dies_before */
#define MEMORY_HOST_DIED 42

/* The one of this process, which both halves speak of: the broker's, which never waits, and the helpers'. */
extern struct memory_host *memory_host;
extern const struct host memory_host_functions;
extern const struct hardware memory_hardware;

/* Everything as at the start, with these devices. */
void memory_host_reset(const struct host_device *devices, size_t count);

/* From here on children of this process share its host: what a child has done to it before it died stays. 0 or -1. */
int memory_host_share(void);

/* Tells the broker that something has changed, true or not. */
void memory_host_tell(enum host_change change, const char *name);

/* Comes and goes; the broker is told. A device that comes has its first driver and no driver_override. */
void memory_host_plug(size_t i, bool present);

#endif
