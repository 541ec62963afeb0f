/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "figure.h"
#include "floor.h"
#include "processor.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: bench DIRECTORY BROKER KEEPER HELPER FAKE-BROKER FAKE-KEEPER FAKE-HELPER FRONT [JSON]\n"
	"Run by tests/run-bench. DIRECTORY is empty and stays the caller's to remove.\n";

int main(int argc, char **argv)
{
	struct programs programs;
	char directories[4][64];
	size_t missed;

	if (argc < 9 || argc > 10) {
		fputs(usage, stderr);
		return 2;
	}
	programs = (struct programs){argv[2], argv[3], argv[4], argv[5], argv[6], argv[7], argv[8]};
	for (int i = 0; i < 4; i++) {
		/* Sockets are in there, and their paths are short. */
		if (snprintf(directories[i], sizeof directories[i], "%s/%d", argv[1], i) >= (int)sizeof directories[i])
			die("%s is too long", argv[1]);
	}
	processor_choose();
	/* Memory first: nothing else of ours is running that could share pages with the broker. */
	bench_connections(&programs, directories[0], directories[1]);
	floor_start();
	bench_latency(&programs, directories[2]);
	bench_hostile(&programs, directories[3]);
	bench_domain();
	missed = figure_table();
	printf("%zu targets missed\n", missed);
	if (argc == 10 && figure_json(argv[9]) < 0)
		die("%s", argv[9]);
	return EXIT_SUCCESS;
}
