/* SPDX-License-Identifier: MIT */
#ifndef BROKER_OPERATION_STATE_H
#define BROKER_OPERATION_STATE_H

#include "state/broker.h"

#include <stdbool.h>

/* Questions about orders to helpers (struct operation). helper/operation.c writes the struct. */

/* The order takes so long that whoever asks is told. */
bool operation_is_named(const struct operation *operation);

#endif
