/* SPDX-License-Identifier: MIT */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <vfio-broker.h>

/* The exit codes; vfio-brokerctl(1) documents them. */
enum cli_exit {
	CLI_OK = 0,
	CLI_NO = 1, /* refused, or something failed */
	CLI_USAGE = 2,
	CLI_NO_BROKER = 3,  /* the broker cannot be reached, or went away */
	CLI_INCOMPLETE = 4, /* a device is not wholly back */
};

struct drive_options;

/* The command line of a command, and the command's session. */
struct cli {
	struct vbroker_session *session; /* NULL for commands without a session */
	const char *socket;		 /* of the broker, for messages */
	const char *argument;		 /* NULL: none was given */
	bool json;
	bool all;
	bool force;
	bool follow;
	const char *since, *user, *unit; /* NULL: not given */
	char **words;			 /* all words after the argument, for commands that take more */
	size_t words_count;
	const char *deadline;		   /* NULL: none was given */
	const struct drive_options *drive; /* of the command "drive" */
};

/* The commands. Each prints the result on stdout and failures on stderr, and returns an enum cli_exit. */
int list_run(const struct cli *cli);
int status_run(const struct cli *cli);
int check_run(const struct cli *cli);
int policy_run(const struct cli *cli);
int ping_run(const struct cli *cli);
int unquarantine_run(const struct cli *cli);
int monitor_run(const struct cli *cli);
int log_run(const struct cli *cli);
int stats_run(const struct cli *cli);
int revoke_run(const struct cli *cli);

#endif
