/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_PROGRAM_H
#define KEEPER_PROGRAM_H

#include "packet.h"

struct device;

/*
 * REGION_PROGRAM: does a list of register accesses in one request. All accesses are checked first: after a refusal none
 * was done. Keeps the process busy for PROGRAM_TIMEOUT_MAX_US at most, plus the time of the accesses themselves.
 * Appends struct program_reply and the results to REPLY. Returns 0 or a refusal.
 */
int program_run(const struct device *device, const struct program_request *program, struct packet *reply,
	struct detail *detail);

#endif
