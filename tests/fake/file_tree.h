/* SPDX-License-Identifier: MIT */
#ifndef FILE_TREE_H
#define FILE_TREE_H

#include <stddef.h>

/*
 * A host made of a directory ($FAKE_HOST), so that its state outlives a killed broker as the kernel's does. The broker
 * reads it in file_host.c, a helper works on it in file_hardware.c:
 *
 * 	devices/NAME/ids	"1234 11e8 00ff00 5": vendor, device, class, IOMMU group ("-": none)
 * 	devices/NAME/driver	name of the driver that has it; missing or empty: none
 * 	devices/NAME/override	driver_override; missing or empty: none
 * 	devices/NAME/command	the command register in hexadecimal digits; missing: memory decoding
 * 	devices/NAME/physfn	of a virtual function: the name of the physical function
 * 	devices/NAME/use	what the host does with the device; missing or empty: nothing; "unknown": nobody can say
 * 	devices/NAME/answers	if it says "no", the configuration space reads all ones
 * 	devices/NAME/resets	if it says "no", there is no way to reset the device; "bus": only with its group
 * 	devices/NAME/fails	if it says "reset", the reset of a helper fails
 * 	devices/NAME/was-reset	"yes": a helper has reset the device; "bus": ... the bus, by an order about the device
 * 	drivers/NAME		there is such a driver
 * 	groups/N		the VFIO group node; its content is the fake kernel's
 * 	window			the control node of vfio_window; missing: the module is not loaded
 * 	hang-STEP		while it is there, a helper's STEP (ids, inspect, override-get, override-set,
 * 				unbind, bind, quiet, reset, group or window) waits before it acts; with a device's
 * 				name or a group's number in the file, only for that one
 *
 * The rules are the kernel's: bind fails for an unknown driver, for a device that has one (EBUSY), and against
 * another driver_override (ENODEV); unbind fails for a driver that has not got the device (ENODEV); a group can be
 * open once (EBUSY).
 */

const char *tree_root(void);

/* The first line of devices/NAME/FILE. Returns 0, or -ENODEV with an empty TEXT. */
int tree_read(const char *name, const char *file, char *text, size_t size);

/* Returns 0 or a negative errno. */
int tree_write(const char *name, const char *file, const char *text);

/* Waits while hang-STEP is there for WHAT, a device's name or a group's number. */
void tree_hang(const char *step, const char *what);

#endif
