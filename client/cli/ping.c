/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PINGS_DEFAULT 10
#define PINGS_MAX     1000000

static double microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int ping_run(const struct cli *cli)
{
	double shortest = 0, longest = 0, sum = 0;
	long count = PINGS_DEFAULT;
	char *end;

	if (cli->argument) {
		count = strtol(cli->argument, &end, 10);
		if (*end || count < 1 || count > PINGS_MAX) {
			fprintf(stderr, "vfio-brokerctl: ping: '%s' is not a number from 1 to %d\n", cli->argument,
				PINGS_MAX);
			return CLI_USAGE;
		}
	}
	for (long i = 0; i < count; i++) {
		double start = microseconds(), took;
		int r = vbroker_session_ping(cli->session);

		if (r != 0)
			return failure_request(cli, "ping the broker", r);
		took = microseconds() - start;
		sum += took;
		if (i == 0 || took < shortest)
			shortest = took;
		if (took > longest)
			longest = took;
	}
	printf("%ld round trips: shortest %.1f us, mean %.1f us, longest %.1f us\n", count, shortest,
		sum / (double)count, longest);
	return CLI_OK;
}
