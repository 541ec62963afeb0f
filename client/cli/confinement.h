/* SPDX-License-Identifier: MIT */
#ifndef CONFINEMENT_H
#define CONFINEMENT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What holds a driver from its exec() on, whatever the driver is: Landlock for files and signals, and a filter of
 * system calls (confinement_calls.h). Neither ever ends.
 *
 * A driver can execute nothing: the one execve() that starts the driver waits for the owner's consent, which the owner
 * gives once.
 */
struct confinement {
	char program[PATH_MAX];
	int files; /* the Landlock rules; -1: this kernel has no Landlock */
	/* A pair of sockets, through which the driver's process hands the filter's listener to the owner; or -1. */
	int owner_end;
	int driver_end;
};

/*
 * Finds PROGRAM as execvp(3) does, and makes the rules: the driver may read PROGRAM, the folders of a dynamic loader,
 * and the COUNT files and folders READABLE. Returns 0, and CONFINEMENT is to be closed; or a negative errno, and
 * RET_ABOUT names the file at fault.
 */
int confinement_open(struct confinement *confinement, const char *program, const char *const *readable, size_t count,
	const char **ret_about);

/* False: files, and the /proc of other processes, can be read as far as the user may read them. */
bool confinement_has_files(const struct confinement *confinement);

/*
 * In the driver's process, which has no_new_privs. From then on the process is confined, and its next execve() waits
 * for confinement_consent(). Returns 0 or a negative errno.
 */
int confinement_enter(struct confinement *confinement);

/*
 * In the owner, after the fork: waits until the driver's process executes, and consents; any other execve() of the
 * driver fails. Returns 0, also if the driver's process has ended before; or a negative errno.
 */
int confinement_consent(struct confinement *confinement);

/* Also after a failed confinement_open(). */
void confinement_close(struct confinement *confinement);

#endif
