/* SPDX-License-Identifier: MIT */
#ifndef FAILURE_H
#define FAILURE_H

#include "cli.h"

/* Says on stderr why the session could not be opened and how to help. Returns the exit code. */
int failure_connect(const char *socket, int result);

/* Says on stderr how vbroker_... answered a step of a command. WHAT completes "cannot ...". Returns the exit code. */
int failure_request(const struct cli *cli, const char *what, int result);

/* Says on stderr that there is no user NAME. Returns the exit code. */
int failure_user(const char *name);

/* Says that memory has run out. Returns the exit code. */
int failure_memory(void);

#endif
