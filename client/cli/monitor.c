/* SPDX-License-Identifier: MIT */
#include "change.h"
#include "cli.h"
#include "failure.h"

#include <stdio.h>

/* Ends with the broker, or when nobody reads stdout any more. */
int monitor_run(const struct cli *cli)
{
	struct vbroker_change change;
	int r = vbroker_session_watch(cli->session);

	if (r != 0)
		return failure_request(cli, "follow the broker", r);
	while ((r = vbroker_session_event(cli->session, -1, &change)) == 0) {
		int exit_code = change_print(&change, cli->json);

		if (exit_code != CLI_OK)
			return exit_code;
		/* The reader of a pipe wants each line at once. */
		if (fflush(stdout) != 0)
			return CLI_NO;
	}
	return failure_request(cli, "follow the broker any longer", r);
}
