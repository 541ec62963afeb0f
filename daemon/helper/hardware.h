/* SPDX-License-Identifier: MIT */
#ifndef HELPER_HARDWARE_H
#define HELPER_HARDWARE_H

#include "inspector_message.h"
#include "message.h"

#include <stddef.h>
#include <stdint.h>

struct sandbox_rule;

/*
 * Steps of the host's kernel that may wait for somebody else: for a driver, a device, or another process. A function
 * per step, and a system call with a wait per function, so that a helper can stop between steps, and tests can put a
 * fake in place of the kernel. All return 0 or a negative errno unless said otherwise.
 */
struct hardware {
	/* The system calls of these functions, for the process's filter. */
	const struct sandbox_rule *rules;
	size_t rule_count;

	/* The first 64 bits of the configuration space. A silent device reads all ones in both words, a
	 * virtual function in the first. */
	int (*read_ids)(const char *name, uint32_t ret_words[2]);
	/* Asks the inspector at the other end of INSPECTOR, a socket that is the caller's, what the host does with the
	 * device. -ENOTCONN: INSPECTOR is -1. *RET_USE: printable words; empty: nothing that can be seen. */
	int (*inspect)(const char *name, int inspector, char ret_use[USE_TEXT_SIZE]);
	/* driver_override: which driver alone may have the device; empty: any. */
	int (*override_get)(const char *name, char ret_driver[DEVICE_NAME_SIZE]);
	int (*override_set)(const char *name, const char *driver);
	/* -ENOENT: the driver has no file unbind, or not yet: its module is being loaded. -ENODEV: the device has
	 * another driver, or none. */
	int (*driver_unbind)(const char *name, const char *driver);
	/* -ENOENT: there is no such driver. */
	int (*driver_bind)(const char *name, const char *driver);
	/* Gives a device without a driver to the driver that wants it, if there is one. */
	int (*driver_probe)(const char *name);
	/* Switches bus mastering (and so MSI) and INTx off, whoever has the device, and makes sure. *RET_COMMAND: the
	 * command register before. */
	int (*quiet)(const char *name, uint16_t *ret_command);
	/* Resets the device by the first of its methods that works, and waits until the device answers again. -ENOTTY:
	 * no method works. */
	int (*reset)(const char *name);
	/* Resets the bus of the device, with all devices on the bus, by GROUP, an open VFIO group that is the caller's.
	 * Only if all devices on the bus are of GROUP, and with VFIO: else -EBUSY. -EAGAIN: somebody has one of them
	 * locked. */
	int (*reset_bus)(int group, const char *name);
	/* Opens the VFIO group. Returns an fd that is the caller's, or -EBUSY while somebody else has the group
	 * open. */
	int (*group_open)(uint32_t group);
	/* Opens a control file of the module vfio_window, for windows of one lease. Returns an fd that is the caller's,
	 * or -ENOENT: there is no such module. */
	int (*window_open)(void);
};

/* The host of this program: Linux's sysfs and /dev/vfio, or a test's. */
const struct hardware *helper_hardware(void);

#endif
