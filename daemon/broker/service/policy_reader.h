/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_READER_H
#define BROKER_POLICY_READER_H

#include "state/broker.h"

/*
 * The broker's end of a process that reads the policy files (service/policy_program.h). systemd starts the process when
 * the broker connects. The broker never opens a policy file, and looks no user up.
 */

/*
 * Starts a reader, the first of broker->policy_readers from now on. ENDED is called with CONTEXT when no more is to
 * come; the result is in reader->stream, and ENDED frees the reader. Returns 0 or a negative errno.
 */
int policy_reader_begin(
	struct broker *broker, void (*ended)(void *context, struct policy_reader *reader), void *context);

/* READER takes too long. */
void policy_reader_hangs(struct policy_reader *reader);

/* Ends the connection. A process that hangs is not ended by that. */
void policy_reader_free(struct policy_reader *reader);

/* Asks a reader of its own at the socket PATH, and says on stdout and stderr what is found. False: something is
 * wrong. Waits, but not for ever. */
bool policy_reader_check(const char *path);

/*
 * vfio-brokerd --check-policy of the service's own files, which this process has found GOOD or not: has the reader at
 * PATH read them, too. Returns the reader's verdict, the one that counts, and says on stderr where the two differ.
 * Without an answer of the reader, says so, and returns GOOD.
 */
bool policy_reader_agrees(const char *path, bool good);

#endif
