/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "figure.h"

#include <stdio.h>

unsigned long memory_pss(pid_t pid)
{
	unsigned long pss = 0, value;
	char path[64], line[512];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		die("%s", path);
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "Pss: %lu", &value) == 1)
			pss += value;
	}
	fclose(file);
	return pss;
}
