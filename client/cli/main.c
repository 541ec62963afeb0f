/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "drive.h"
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
	bool drives; /* has --device, --budget, and a program's command line after -- */
	bool needs_broker;
	int (*run)(const struct cli *cli);
	const char *usage;
	const char *help;
} commands[] = {
	{"list", ARGUMENT_NONE, true, true, false, true, list_run, "list [--all] [--json]",
		"PCI devices, their IOMMU groups and who holds them; --all: bridges too"},
	{"status", ARGUMENT_NONE, true, false, false, true, status_run, "status [--json]",
		"the broker's counters, sessions and leases"},
	{"check", ARGUMENT_REQUIRED, true, false, false, true, check_run, "check DEVICE [--json]",
		"could this user lease the device now, and if not, why"},
	{"release", ARGUMENT_REQUIRED, true, false, false, true, release_run, "release [--force] DEVICE [--json]",
		"end the quarantine of a device, as root: after a reset; --force: without one"},
	{"drive", ARGUMENT_NONE, false, false, true, true, drive_run,
		"drive --device DEVICE... [--budget BYTES[,MAPPINGS]] -- DRIVER [ARGUMENT]...",
		"start a driver in a sandbox, with the devices' channels; own its IOMMU domain and pay for its memory"},
	{"ping", ARGUMENT_OPTIONAL, false, false, false, true, ping_run, "ping [COUNT]",
		"time round trips to the broker"},
	{"version", ARGUMENT_NONE, false, false, false, false, version_run, "version", "the version of this program"},
	{"help", ARGUMENT_NONE, false, false, false, false, help_run, "help", "this text"},
};

static int help_run(const struct cli *cli)
{
	(void)cli;
	printf("vfio-brokerctl [--socket PATH] COMMAND\n\n");
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		printf("  %-24s%s%s\n", commands[i].usage,
			strlen(commands[i].usage) < 24 ? "" : "\n                          ", commands[i].help);
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

static int device_option(struct drive_options *drive, const char *name)
{
	if (drive->devices_count == DRIVE_DEVICES_MAX)
		return usage_error("more devices than one driver gets: ", name);
	drive->devices[drive->devices_count++] = name;
	return CLI_OK;
}

static int drive_line(const struct command *command, const struct drive_options *drive)
{
	if (drive->devices_count == 0)
		return usage_error("no --device: ", command->usage);
	return drive->driver[0] ? CLI_OK : usage_error("no driver after --: ", command->usage);
}

/* Reads options wherever they stand, up to "--". Returns CLI_OK and the command, or the exit code. */
static int command_line(
	int argc, char **argv, struct cli *cli, struct drive_options *drive, const struct command **ret_command)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'}, {"all", no_argument, NULL, 'a'}, {"force", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'},
		{"device", required_argument, NULL, 'd'}, {"budget", required_argument, NULL, 'b'}, {NULL, 0, NULL, 0}};
	const char *name = NULL;
	const struct command *command;
	int option, words = 0;

	/* What follows "--" is another program's. */
	while (words < argc && strcmp(argv[words], "--") != 0)
		words++;
	drive->driver = argv + (words < argc ? words + 1 : words);
	while ((option = getopt_long(words, argv, "s:jafhvd:b:", options, NULL)) != -1) {
		if (option == 'd') {
			if (device_option(drive, optarg) != CLI_OK)
				return CLI_USAGE;
		} else if (option == 'b') {
			if (!drive_budget(optarg, &drive->budget))
				return usage_error("not a budget like 64M or 64M,1000: ", optarg);
		} else if (option == 's')
			cli->socket = optarg;
		else if (option == 'j')
			cli->json = true;
		else if (option == 'a')
			cli->all = true;
		else if (option == 'f')
			cli->force = true;
		else if (option == 'h')
			name = "help";
		else if (option == 'v')
			name = "version";
		else
			return CLI_USAGE; /* getopt has said why */
	}
	if (!name && optind == words)
		return usage_error("a command is missing", "");
	command = command_find(name ? name : argv[optind++]);
	if (!command)
		return usage_error("unknown command: ", argv[optind - 1]);
	*ret_command = command;
	if (name)
		return CLI_OK;
	if (optind < words)
		cli->argument = argv[optind++];
	if (optind < words || (cli->argument && command->argument == ARGUMENT_NONE))
		return usage_error("too many arguments: ", command->usage);
	if (!cli->argument && command->argument == ARGUMENT_REQUIRED)
		return usage_error("an argument is missing: ", command->usage);
	if ((cli->json && !command->takes_json) || (cli->all && !command->takes_all) ||
		(cli->force && command->run != release_run) ||
		((drive->devices_count > 0 || words < argc) && !command->drives))
		return usage_error("an option that the command does not have: ", command->usage);
	return command->drives ? drive_line(command, drive) : CLI_OK;
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
	struct drive_options drive = {
		.budget = {DRIVE_BUDGET_BYTES, DRIVE_BUDGET_MAPPINGS, DRIVE_BUDGET_MEMORIES},
	};
	struct cli cli = {.socket = VBROKER_SOCKET, .drive = &drive};
	const struct command *command;
	int r = command_line(argc, argv, &cli, &drive, &command);

	if (r == CLI_OK)
		r = command_run(command, &cli);
	/* A full disk behind a redirection is a failure too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("vfio-brokerctl: standard output");
		return r == CLI_OK ? CLI_NO : r;
	}
	return r;
}
