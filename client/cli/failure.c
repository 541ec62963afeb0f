/* SPDX-License-Identifier: MIT */
#include "failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int failure_connect(const char *socket, int result)
{
	char text[1024];

	fprintf(stderr, "vfio-brokerctl: cannot reach the broker at %s: ", socket);
	switch (result) {
	case -ENOENT:
	case -ECONNREFUSED:
		fprintf(stderr, "%s\nIs vfio-broker.socket running? systemctl status vfio-broker.socket\n",
			strerror(-result));
		return CLI_NO_BROKER;
	case -EACCES:
		fprintf(stderr, "%s\nThe socket is closed to this user: 'ls -l %s' shows who may connect.\n",
			strerror(EACCES), socket);
		return CLI_NO_BROKER;
	default:
		fprintf(stderr, "%s\nSee the log of the broker: journalctl -u vfio-broker.service\n",
			vbroker_describe_result(result, text, sizeof text));
		return result > 0 ? CLI_NO : CLI_NO_BROKER;
	}
}

int failure_request(const struct cli *cli, const char *what, int result)
{
	char text[1024];

	fprintf(stderr, "vfio-brokerctl: cannot %s: %s\n", what, vbroker_describe_result(result, text, sizeof text));
	if (result > 0) {
		fprintf(stderr, "What to do: %s\n", vbroker_refusal_advice(result));
		return CLI_NO;
	}
	if (result == -ETIME)
		return CLI_NO_BROKER;
	if (result != -EPIPE && result != -ECONNRESET)
		return CLI_NO;
	fprintf(stderr, "The broker at %s has closed the connection: journalctl -u vfio-broker.service\n", cli->socket);
	return CLI_NO_BROKER;
}

int failure_user(const char *name)
{
	fprintf(stderr, "vfio-brokerctl: there is no user %s\n", name);
	return CLI_USAGE;
}

int failure_memory(void)
{
	fprintf(stderr, "vfio-brokerctl: %s\n", strerror(ENOMEM));
	return CLI_NO;
}
