/* SPDX-License-Identifier: MIT */
#include "processor.h"

#include "figure.h"

#include <sched.h>

static int server = -1, other = -1;

void processor_choose(void)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
		die("processors of this process");
	/* The last ones: the first gets most of the machine's interrupts. */
	for (int i = CPU_SETSIZE - 1; i >= 0 && other < 0; i--) {
		if (!CPU_ISSET(i, &allowed))
			continue;
		if (server < 0)
			server = i;
		else
			other = i;
	}
}

static void pin(pid_t pid, int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(pid, sizeof set, &set) < 0)
		die("pinning process %d to processor %d", (int)pid, processor);
}

void processor_pin_server(pid_t pid)
{
	pin(pid, server);
}

void processor_pin_away(pid_t pid)
{
	pin(pid, other);
}

void processor_pin_none(pid_t pid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(server, &set);
	if (other >= 0)
		CPU_SET(other, &set);
	if (sched_setaffinity(pid, sizeof set, &set) < 0)
		die("letting process %d run on both processors", (int)pid);
}
