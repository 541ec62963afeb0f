/* SPDX-License-Identifier: MIT */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <sys/types.h>

/* Memory of a process in KiB, from /proc/PID/smaps. */
struct memory {
	unsigned long pss;
	unsigned long anonymous; /* of that, pages that no file has: heap, stack, written data, relocated pointers */
	unsigned long alone;	 /* what PSS would be if of all files only libc were in use by other processes */
	unsigned long rss;
};

struct memory memory_read(pid_t pid);

/* Prints what the PSS consists of, as lines of a comment. */
void memory_print(const char *name, pid_t pid);

#endif
