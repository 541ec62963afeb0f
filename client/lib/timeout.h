/* SPDX-License-Identifier: MIT */
#ifndef LIB_TIMEOUT_H
#define LIB_TIMEOUT_H

#include "message.h"

#include <stdint.h>

/* How long a call waits: until a moment of CLOCK_MONOTONIC, in microseconds. */

/* No such moment: the wait ends by itself alone. */
#define TIMEOUT_NEVER UINT64_MAX

/* The present moment. */
uint64_t timeout_now_us(void);

/* TIMEOUT_MS from now on; negative: TIMEOUT_NEVER. */
uint64_t timeout_after_ms(int64_t timeout_ms);

/* The longest wait for the reply to request TYPE on a channel of KIND, in milliseconds; -1: for ever. As set by
 * vbroker_set_timeout() in this thread, else by the kind of the request. */
int timeout_of_request(enum channel_kind kind, uint16_t type);

/* For poll(): the rest of the wait until DUE_US, rounded up; 0: over; -1: for ever. */
int timeout_left_ms(uint64_t due_us);

#endif
