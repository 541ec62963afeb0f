/* SPDX-License-Identifier: MIT */
#ifndef UNIT_BUS_H
#define UNIT_BUS_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

static sigjmp_buf bus_jump;

static inline void bus_signal(int number)
{
	(void)number;
	siglongjmp(bus_jump, 1);
}

/* Whether a load from ADDRESS gives SIGBUS, as from a window that was taken back. */
static inline bool bus_error(const volatile void *address)
{
	struct sigaction action = {.sa_handler = bus_signal}, before;
	volatile bool error = true;

	sigaction(SIGBUS, &action, &before);
	if (sigsetjmp(bus_jump, 1) == 0) {
		(void)*(const volatile uint8_t *)address;
		error = false;
	}
	sigaction(SIGBUS, &before, NULL);
	return error;
}

#endif
