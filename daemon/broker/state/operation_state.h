/* SPDX-License-Identifier: MIT */
#ifndef BROKER_OPERATION_STATE_H
#define BROKER_OPERATION_STATE_H

#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>

/* Questions about orders to helpers (struct operation). helper/operation.c writes the struct. */

/* How long the order may take longer than others: an inspection begins with the start of a process. */
uint64_t operation_extra_us(const struct operation *operation);

/* The order takes so long that whoever asks is told. */
bool operation_is_named(const struct operation *operation);

#endif
