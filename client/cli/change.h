/* SPDX-License-Identifier: MIT */
#ifndef CHANGE_H
#define CHANGE_H

#include <stdbool.h>
#include <vfio-broker.h>

/* Prints an event on stdout: a line for people, or with JSON a line with one object. Returns an enum cli_exit. */
int change_print(const struct vbroker_change *change, bool json);

#endif
