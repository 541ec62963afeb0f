/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_TEXT_H
#define BROKER_QUARANTINE_TEXT_H

#include "state/broker.h"

/* Quarantine in words, for refusals and the journal. */

/* The reason, the time, the last holder. Returns BUFFER. */
const char *quarantine_text(const struct broker *broker, const struct device *device, char *buffer, size_t size);

/* "since 2026-11-24 23:50:01 (3 min)", in local time. Returns BUFFER. */
const char *quarantine_since(const struct broker *broker, uint64_t since_us, char *buffer, size_t size);

#endif
