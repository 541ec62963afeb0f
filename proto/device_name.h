/* SPDX-License-Identifier: MIT */
#ifndef DEVICE_NAME_H
#define DEVICE_NAME_H

#include "message.h"

#include <stdbool.h>

/* True if NAME is the kernel's name of a PCI device ("0000:01:00.0"), ends with a NUL and is padded with NULs. */
bool device_name_valid(const char name[DEVICE_NAME_SIZE]);

/*
 * Reads an address as people and programs write it: "0000:01:00.0", "01:00.0", "0000:1:0.0", capital letters, more
 * zeros ("00000000:01:00.0", nvidia-smi), "pci_0000_01_00_0" (libvirt), or a path that ends with one of these (sysfs).
 * Returns false if TEXT is none; otherwise RET_NAME is valid.
 */
bool device_name_parse(const char *text, char ret_name[DEVICE_NAME_SIZE]);

#endif
