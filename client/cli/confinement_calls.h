/* SPDX-License-Identifier: MIT */
#ifndef CONFINEMENT_CALLS_H
#define CONFINEMENT_CALLS_H

/*
 * Loads the filter of system calls into the calling process, a driver's. Returns the filter's listener, to which each
 * execve() is put as a question; or a negative errno.
 */
int confinement_calls_load(void);

#endif
