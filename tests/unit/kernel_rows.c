/* SPDX-License-Identifier: MIT */
#include "kernel_rows.h"
#include "fdset.h"
#include "kernel_row.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Runs the rows (kernel_row.h) on the machine under test. TAP. */

static int ground_make(struct ground *g, enum stage stage)
{
	int r;

	g->container = g->machine->domain->open();
	r = g->container < 0 ? g->container : 0;
	if (r == 0 && stage >= ATTACHED)
		r = vfio(g)->group_attach(g->group, g->container);
	if (r == 0 && stage >= READY)
		r = vfio(g)->domain_setup(g->container);
	if (r == 0 && stage >= OPENED) {
		g->device = vfio(g)->device_get(g->group, g->machine->first.device);
		r = g->device < 0 ? g->device : 0;
	}
	return r;
}

/* Whatever a row has done, the next one starts from nothing. */
static void ground_clear(struct ground *g)
{
	if (g->device >= 0)
		vfio(g)->device_close(fd_take(&g->device));
	vfio(g)->group_detach(g->group);
	if (g->machine->second.fd >= 0)
		vfio(g)->group_detach(g->machine->second.fd);
	close(g->container);
}

/* Returns true if the row failed. */
static bool run(const struct rows_machine *machine, const struct row *row, size_t number, uint8_t *page)
{
	struct ground g = {machine, -1, machine->first.fd, -1, page};
	long observed = ground_make(&g, row->stage);
	bool staged = observed == 0, good;

	if (staged)
		observed = row->observe(&g);
	ground_clear(&g);
	good = staged && (observed == row->expected || (row->other && observed == row->other));
	if (observed == SKIPPED)
		printf("ok %zu - %s # SKIP this machine has not what it needs\n", number, row->name);
	else
		printf("%s %zu - %s\n", good ? "ok" : "not ok", number, row->name);
	if (!good && observed != SKIPPED)
		printf("# %s%ld (%s), expected %ld (%s)\n", staged ? "" : "not even its beginning: ", observed,
			observed < 0 ? strerror((int)-observed) : "value", row->expected,
			row->expected < 0 ? strerror((int)-row->expected) : "value");
	fflush(stdout);
	return !good && observed != SKIPPED;
}

int main(int argc, char **argv)
{
	const struct row_list *const lists[] = {&rows_of_groups, &rows_of_devices, &rows_of_domains};
	struct rows_machine machine;
	size_t failed = 0, count = 0, number = 0;
	uint8_t *memory;

	if (rows_machine_init(&machine, argc, argv) < 0)
		return 2;
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		count += lists[i]->count;
	printf("1..%zu\n", count);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		for (size_t k = 0; k < lists[i]->count; k++)
			failed += run(&machine, &lists[i]->rows[k], ++number, memory);
	}
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
