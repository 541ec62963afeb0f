/* SPDX-License-Identifier: MIT */
#ifndef FAILURE_H
#define FAILURE_H

#include "cli.h"

/* Says on stderr why the session could not be opened and what to do. Returns the exit code. */
int failure_connect(const char *socket, int result);

/* Says on stderr what vbroker_... answered to a step of a command. WHAT completes "cannot ...". Returns the exit code. */
int failure_request(const struct cli *cli, const char *what, int result);

/* Says on stderr that what COMMAND was given is not the name of a device, which the library has put into words. Returns the exit code. */
int failure_name(const char *command);

/* Says that memory has run out. Returns the exit code. */
int failure_memory(void);

#endif
