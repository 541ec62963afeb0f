/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_PROGRAM_H
#define BROKER_POLICY_PROGRAM_H

/*
 * vfio-brokerd --read-policy: a process of its own for a single read, because a file, or a service that knows the names
 * of users, may take any time. Reads the policy files of DIRECTORIES (ended by NULL), looks names up, and sends the
 * policy over CONNECTION, which is taken. Returns an exit status.
 */
int policy_program_run(const char *const *directories, int connection);

#endif
