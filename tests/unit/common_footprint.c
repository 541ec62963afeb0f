/* SPDX-License-Identifier: MIT */
#include "footprint.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

/* Pages of program and library files that are in memory now, in KiB, from the kernel's own account. */
static unsigned long resident_files(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	assert_non_null(status);
	while (fgets(line, sizeof line, status))
		sscanf(line, "RssFile: %lu kB", &kib);
	fclose(status);
	return kib;
}

static int written = 17;
static const char constant[] = "constants come back from the file";

static void trimming_gives_memory_back(void **state)
{
	unsigned long before, after;

	(void)state;
	resident_files(); /* whatever it loads is loaded now */
	before = resident_files();
	footprint_trim();
	after = resident_files();
	print_message("# RssFile %lu -> %lu KiB\n", before, after);
	assert_true(after < before);
}

static void trimming_loses_nothing(void **state)
{
	char *heap = strdup("the heap stays");

	(void)state;
	written = 42;
	footprint_trim();
	footprint_trim();
	assert_int_equal(written, 42);
	assert_string_equal(heap, "the heap stays");
	assert_string_equal(constant, "constants come back from the file");
	/* Relocated data (a function pointer in a table) is not in the file as it is in memory. */
	assert_ptr_equal(*(int (*volatile *)(const char *)) & (int (*)(const char *)){puts}, puts);
	free(heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trimming_gives_memory_back),
		cmocka_unit_test(trimming_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
