/* SPDX-License-Identifier: MIT */
#ifndef BROKER_OPERATION_TEXT_H
#define BROKER_OPERATION_TEXT_H

#include "state/broker.h"

#include <stddef.h>

/* Words about an operation whose order is in work. Each function returns BUFFER. */

/* The order, its helper, how long, what sysfs shows, and the command that says more. */
const char *operation_text(const struct operation *operation, char *buffer, size_t size);

/* The order alone, as in "unbinding 0000:01:00.0 from nvme". */
const char *operation_order_text(const struct operation *operation, char *buffer, size_t size);

/* The command that says who, or what, is waited for. */
const char *operation_remedy_text(const struct operation *operation, char *buffer, size_t size);

#endif
