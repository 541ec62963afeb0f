/* SPDX-License-Identifier: MIT */
#ifndef NAME_H
#define NAME_H

#include "message.h"

/* The address of the device that somebody calls TEXT, for a request: 0, or NO_SUCH_DEVICE with its detail. */
int name_find(const char *text, char ret_name[DEVICE_NAME_SIZE]);

#endif
