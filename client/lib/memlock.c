/* SPDX-License-Identifier: MIT */
#include "memlock.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

void memlock_read(struct memlock *ret_memlock)
{
	struct rlimit limit = {0, 0};
	FILE *status = fopen("/proc/self/status", "re");
	uint64_t kib, sum = 0;
	unsigned int found = 0;
	char line[128];

	getrlimit(RLIMIT_MEMLOCK, &limit);
	/* type1 counts pinned memory as locked (VmLck), iommufd as pinned (VmPin). The limit holds for each counter,
	 * but a process uses only one. */
	while (status && fgets(line, sizeof line, status)) {
		if (sscanf(line, "VmLck: %" SCNu64, &kib) != 1 && sscanf(line, "VmPin: %" SCNu64, &kib) != 1)
			continue;
		sum += kib * 1024;
		found++;
	}
	if (status)
		fclose(status);
	ret_memlock->limit = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
	ret_memlock->locked = sum;
	ret_memlock->known = found == 2;
}
