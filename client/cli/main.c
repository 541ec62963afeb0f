/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "failure.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int help_run(const struct cli *cli);
static int version_run(const struct cli *cli);

enum argument_need {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL,
	ARGUMENT_REQUIRED,
};

static const struct command {
	const char *name;
	enum argument_need argument;
	bool takes_json, takes_all;
	bool needs_broker;
	int (*run)(const struct cli *cli);
	const char *usage;
	const char *help;
} commands[] = {
	{"list", ARGUMENT_NONE, true, true, true, list_run, "list [--all] [--json]",
		"PCI devices, their IOMMU groups and who holds them; --all: bridges too"},
	{"status", ARGUMENT_NONE, true, false, true, status_run, "status [--json]",
		"the broker's counters, sessions and leases"},
	{"check", ARGUMENT_REQUIRED, true, false, true, check_run, "check DEVICE [--json]",
		"could this user lease the device now, and if not, why"},
	{"ping", ARGUMENT_OPTIONAL, false, false, true, ping_run, "ping [COUNT]", "time round trips to the broker"},
	{"version", ARGUMENT_NONE, false, false, false, version_run, "version", "the version of this program"},
	{"help", ARGUMENT_NONE, false, false, false, help_run, "help", "this text"},
};

static int help_run(const struct cli *cli)
{
	(void)cli;
	printf("vfio-brokerctl [--socket PATH] COMMAND\n\n");
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		printf("  %-24s%s\n", commands[i].usage, commands[i].help);
	printf("\nThe broker's socket is %s unless --socket names another.\n", VBROKER_SOCKET);
	printf("Exit codes: 0 yes, 1 no (refused or failed), 2 wrong usage, 3 no broker. See vfio-brokerctl(1).\n");
	return CLI_OK;
}

static int version_run(const struct cli *cli)
{
	(void)cli;
	printf("vfio-brokerctl %s\n", VERSION);
	return CLI_OK;
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int usage_error(const char *complaint, const char *about)
{
	fprintf(stderr, "vfio-brokerctl: %s%s (see: vfio-brokerctl help)\n", complaint, about);
	return CLI_USAGE;
}

/* Reads options wherever they stand. Returns CLI_OK and the command, or the exit code. */
static int command_line(int argc, char **argv, struct cli *cli, const struct command **ret_command)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'}, {"all", no_argument, NULL, 'a'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};
	const char *name = NULL;
	const struct command *command;
	int option;

	while ((option = getopt_long(argc, argv, "s:jahv", options, NULL)) != -1) {
		if (option == 's')
			cli->socket = optarg;
		else if (option == 'j')
			cli->json = true;
		else if (option == 'a')
			cli->all = true;
		else if (option == 'h')
			name = "help";
		else if (option == 'v')
			name = "version";
		else
			return CLI_USAGE; /* getopt has said why */
	}
	if (!name && optind == argc)
		return usage_error("a command is missing", "");
	command = command_find(name ? name : argv[optind++]);
	if (!command)
		return usage_error("unknown command: ", argv[optind - 1]);
	*ret_command = command;
	if (name)
		return CLI_OK;
	if (optind < argc)
		cli->argument = argv[optind++];
	if (optind < argc || (cli->argument && command->argument == ARGUMENT_NONE))
		return usage_error("too many arguments: ", command->usage);
	if (!cli->argument && command->argument == ARGUMENT_REQUIRED)
		return usage_error("an argument is missing: ", command->usage);
	if ((cli->json && !command->takes_json) || (cli->all && !command->takes_all))
		return usage_error("an option that the command does not have: ", command->usage);
	return CLI_OK;
}

static int command_run(const struct command *command, struct cli *cli)
{
	int r;

	if (!command->needs_broker)
		return command->run(cli);
	r = vbroker_session_open(cli->socket, &cli->session);
	if (r != 0)
		return failure_connect(cli->socket, r);
	r = command->run(cli);
	vbroker_session_close(cli->session);
	return r;
}

int main(int argc, char **argv)
{
	struct cli cli = {.socket = VBROKER_SOCKET};
	const struct command *command;
	int r = command_line(argc, argv, &cli, &command);

	if (r == CLI_OK)
		r = command_run(command, &cli);
	/* A full disk behind a redirection is a failure too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("vfio-brokerctl: standard output");
		return r == CLI_OK ? CLI_NO : r;
	}
	return r;
}
