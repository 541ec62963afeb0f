/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_VIEW_H
#define INSPECTOR_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sandbox_rule;

/*
 * What an inspector sees of the host: files below ROOT, as they are in the first mount and network namespaces; and
 * three questions to the kernel, so that tests can put a fake in their place. Nothing here changes anything.
 */
struct view {
	const char *root; /* "": the host */
	/* Whether anybody has the block device at PATH for itself: 1, 0 or a negative errno. */
	int (*is_claimed)(const char *path);
	/* Writes the addresses of the network interface, ", 10.0.0.5/24, fd00::5/64", as far as SIZE allows; empty:
	 * none. Returns 0 or a negative errno. */
	int (*addresses)(const char *interface, char *text, size_t size);
	/* Whether the open file at PATH, a link below /proc/PID/fd, is the device NUMBER of kind S_IFCHR or S_IFBLK. */
	bool (*is_device)(const char *path, mode_t kind, dev_t number);
	/* The system calls of these functions, and of reading files, for the process's filter. */
	const struct sandbox_rule *rules;
	size_t rule_count;
};

/* This host. */
extern const struct view view_linux;

#define VIEW_PATH_SIZE 512

/* ROOT and the path that FORMAT makes, in PATH. A path that is too long is cut, and leads nowhere. */
const char *view_path(const struct view *view, char path[VIEW_PATH_SIZE], const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reads the first line of the file at PATH, without its end. Returns false, and an empty TEXT, without such a file. */
bool view_line(const char *path, char *text, size_t size);

/* The last component of where the link at PATH leads, in TEXT. Returns false, and an empty TEXT, without a link. */
bool view_link(const char *path, char *text, size_t size);

#endif
