/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "drive.h"
#include "failure.h"
#include "parse.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int help_run(const struct cli *cli);
static int version_run(const struct cli *cli);

enum argument_need {
	ARGUMENT_NONE,
	ARGUMENT_OPTIONAL,
	ARGUMENT_REQUIRED,
	ARGUMENT_LIST, /* one, and any number more */
};

static const struct command {
	const char *name;
	enum argument_need argument;
	/* The letters (in command_line()) of the command's options; d: also a driver's command line after "--". */
	const char *options;
	bool needs_broker;
	int (*run)(const struct cli *cli);
	const char *usage;
	const char *help;
} commands[] = {
	{"list", ARGUMENT_NONE, "ja", true, list_run, "list [--all] [--json]",
		"PCI devices, their IOMMU groups and who holds them; --all: bridges too"},
	{"status", ARGUMENT_NONE, "j", true, status_run, "status [--json]",
		"the broker's counters, sessions and leases"},
	{"check", ARGUMENT_REQUIRED, "j", true, check_run, "check DEVICE [--json]",
		"could this user lease the device now, and if not, why"},
	{"unquarantine", ARGUMENT_REQUIRED, "jf", true, unquarantine_run, "unquarantine [--force] DEVICE [--json]",
		"end the quarantine of a device, as root: after a reset; --force: without one (alias: release)"},
	{"revoke", ARGUMENT_REQUIRED, "jt", true, revoke_run, "revoke DEVICE [--deadline T] [--json]",
		"take a device back, as root; its holder has T (5s, 500ms, 2min; default 5s) to finish"},
	{"policy", ARGUMENT_LIST, "jun", false, policy_run,
		"policy check [PATH]... | show | explain DEVICE [--user USER] [--unit UNIT] [--json]",
		"look for mistakes in policy files; the rules in force; which rule decides, and why"},
	{"drive", ARGUMENT_NONE, "dbr", true, drive_run,
		"drive --device DEVICE... [--budget BYTES[,MAPPINGS]] [--read PATH]... -- DRIVER [ARGUMENT]...",
		"start a driver in a sandbox, with the devices' channels; own its IOMMU domain and pay for its memory"},
	{"monitor", ARGUMENT_NONE, "j", true, monitor_run, "monitor [--json]",
		"follow what happens: leases, refusals, revocations, faults, hot-plug"},
	{"log", ARGUMENT_OPTIONAL, "jSul", false, log_run,
		"log [DEVICE] [--since TIME] [--user USER] [--follow] [--json]", "what has happened, from the journal"},
	{"stats", ARGUMENT_NONE, "o", true, stats_run, "stats [--openmetrics]", "numbers for monitoring systems"},
	{"ping", ARGUMENT_OPTIONAL, "", true, ping_run, "ping [COUNT]", "time round trips to the broker"},
	{"version", ARGUMENT_NONE, "", false, version_run, "version", "the version of this program"},
	{"help", ARGUMENT_NONE, "", false, help_run, "help", "this text"},
};

static int help_run(const struct cli *cli)
{
	(void)cli;
	printf("vfio-brokerctl [--socket PATH] [--timeout T] COMMAND\n\n");
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		printf("  %-24s%s%s\n", commands[i].usage,
			strlen(commands[i].usage) < 24 ? "" : "\n                          ", commands[i].help);
	printf("\nThe broker's socket is %s unless --socket names another. "
	       "--timeout: how long to wait for each answer.\n",
		VBROKER_SOCKET);
	printf("Exit codes: 0 yes, 1 no (refused or failed), 2 wrong usage, 3 no broker, 4 incomplete. "
	       "See vfio-brokerctl(1).\n");
	return CLI_OK;
}

static int version_run(const struct cli *cli)
{
	(void)cli;
	printf("vfio-brokerctl %s\n", VERSION);
	return CLI_OK;
}

/* Names for scripts of earlier releases; the help names each as "(alias: NAME)", and so do the completions. */
static const struct {
	const char *alias, *name;
} aliases[] = {
	{"release", "unquarantine"}, /* elsewhere, "release" is the end of a lease */
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
		if (strcmp(aliases[i].alias, name) == 0)
			name = aliases[i].name;
	}
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

static int read_option(struct drive_options *drive, const char *path)
{
	if (drive->readable_count == DRIVE_READABLE_MAX)
		return usage_error("more --read than one driver gets: ", path);
	drive->readable[drive->readable_count++] = path;
	return CLI_OK;
}

static int drive_line(const struct command *command, const struct drive_options *drive)
{
	if (drive->devices_count == 0)
		return usage_error("no --device: ", command->usage);
	return drive->driver[0] ? CLI_OK : usage_error("no driver after --: ", command->usage);
}

static int timeout_option(const char *text)
{
	uint64_t timeout_ms;

	if (!parse_duration(text, INT_MAX, &timeout_ms) || timeout_ms == 0)
		return usage_error("not a time like 5s, 500ms or 2min: ", text);
	vbroker_set_timeout((int)timeout_ms);
	return CLI_OK;
}

#define LETTERS_MAX 32

/* Reads one option. *NAME: the command named by the option. Returns CLI_OK or the exit code. */
static int option_read(int letter, struct cli *cli, struct drive_options *drive, const char **name)
{
	switch (letter) {
	case 'd':
		return device_option(drive, optarg);
	case 'b':
		return drive_budget(optarg, &drive->budget)
			? CLI_OK
			: usage_error("not a budget like 64M or 64M,1000: ", optarg);
	case 'r':
		return read_option(drive, optarg);
	case 's':
		cli->socket = optarg;
		return CLI_OK;
	case 'T':
		return timeout_option(optarg);
	case 'j':
		cli->json = true;
		return CLI_OK;
	case 'a':
		cli->all = true;
		return CLI_OK;
	case 'S':
		cli->since = optarg;
		return CLI_OK;
	case 'u':
		cli->user = optarg;
		return CLI_OK;
	case 'n':
		cli->unit = optarg;
		return CLI_OK;
	case 'f':
		cli->force = true;
		return CLI_OK;
	case 't':
		cli->deadline = optarg;
		return CLI_OK;
	case 'l':
		cli->follow = true;
		return CLI_OK;
	case 'o':
		return CLI_OK; /* the only form of the numbers */
	case 'h':
		*name = "help";
		return CLI_OK;
	case 'v':
		*name = "version";
		return CLI_OK;
	default:
		return CLI_USAGE; /* getopt has said why */
	}
}

/* Reads options in any place, up to "--". Returns CLI_OK and the command, or the exit code. */
static int command_line(
	int argc, char **argv, struct cli *cli, struct drive_options *drive, const struct command **ret_command)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'}, {"all", no_argument, NULL, 'a'}, {"force", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'},
		{"device", required_argument, NULL, 'd'}, {"budget", required_argument, NULL, 'b'},
		{"read", required_argument, NULL, 'r'}, {"deadline", required_argument, NULL, 't'},
		{"since", required_argument, NULL, 'S'}, {"user", required_argument, NULL, 'u'},
		{"unit", required_argument, NULL, 'n'}, {"follow", no_argument, NULL, 'l'},
		{"openmetrics", no_argument, NULL, 'o'}, {"timeout", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0}};
	char given[LETTERS_MAX] = ""; /* letters that not every command has */
	const char *name = NULL;
	const struct command *command;
	int letter, words = 0, r;

	/* The words after "--" are another program's. */
	while (words < argc && strcmp(argv[words], "--") != 0)
		words++;
	drive->driver = argv + (words < argc ? words + 1 : words);
	while ((letter = getopt_long(words, argv, "s:T:jafhvd:b:r:S:u:t:n:", options, NULL)) != -1) {
		r = option_read(letter, cli, drive, &name);
		if (r != CLI_OK)
			return r;
		if (!strchr("sT", letter) && !strchr(given, letter))
			given[strlen(given)] = (char)letter;
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
	if (command->argument == ARGUMENT_LIST) {
		cli->words = argv + optind;
		cli->words_count = (size_t)(words - optind);
		optind = words;
	}
	if (optind < words || (cli->argument && command->argument == ARGUMENT_NONE))
		return usage_error("too many arguments: ", command->usage);
	if (!cli->argument && command->argument >= ARGUMENT_REQUIRED)
		return usage_error("an argument is missing: ", command->usage);
	if (strspn(given, command->options) < strlen(given) || (words < argc && !strchr(command->options, 'd')))
		return usage_error("an option that the command does not have: ", command->usage);
	return strchr(command->options, 'd') ? drive_line(command, drive) : CLI_OK;
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
