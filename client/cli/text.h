/* SPDX-License-Identifier: MIT */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <vfio-broker.h>

/* Numbers in words, for tables and JSON alike. */

/* "NVMe" for 0x010802 and so on; a constant string, empty for a class without a name here. */
const char *text_class(uint32_t class_code);

/* "leased" and so on; a constant string. */
const char *text_state(enum vbroker_device_state state);

/* "function", "bus" or "none". */
const char *text_reset(enum vbroker_reset_method method);

/* The name of a user, or NULL if there is none. Valid until the next call. */
const char *text_user(uint32_t uid);

/* "alice, pid 4711, spdk.service"; empty if nobody is the holder. Returns BUFFER. */
const char *text_holder(const struct vbroker_holder *holder, char *buffer, size_t size);

/* "3 days 4 h", "12 min 3 s", "45 s": the two largest units. Returns BUFFER. */
const char *text_duration(uint64_t microseconds, char *buffer, size_t size);

/* A device's whole name: lspci writes "01:00.0" where sysfs has "0000:01:00.0", and people type capitals. */
#define TEXT_DEVICE_SIZE 64
void text_device(char name[TEXT_DEVICE_SIZE], const char *typed);

#endif
