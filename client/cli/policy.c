/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "explain.h"
#include "failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage(const char *complaint)
{
	fprintf(stderr, "vfio-brokerctl: policy: %s (see: vfio-brokerctl help)\n", complaint);
	return CLI_USAGE;
}

/* ---- check ---- */

/*
 * The service's own program reads the files, so the answer is the service's answer, and there is only one reader of
 * the format. The program takes the place of this process, with the rights of this user.
 */
static int check(const struct cli *cli)
{
	const char *program = getenv("VFIO_BROKERD");
	char **arguments = calloc(cli->words_count + 3, sizeof *arguments);
	size_t count = 0;

	if (!arguments)
		return failure_memory();
	if (!program)
		program = LIBEXECDIR "/vfio-brokerd";
	arguments[count++] = (char *)(void *)program;
	arguments[count++] = (char[]){"--check-policy"};
	for (size_t i = 0; i < cli->words_count; i++)
		arguments[count++] = cli->words[i];
	execv(program, arguments);
	fprintf(stderr, "vfio-brokerctl: cannot start %s, which reads the files: %s\n", program, strerror(errno));
	free(arguments);
	return CLI_NO;
}

/* ---- show ---- */

/* Prints a policy file again: the rules in force, and the place of each rule. */
static int show(const struct cli *cli)
{
	struct vbroker_policy_line *lines;
	size_t count;
	int r;

	if (cli->words_count > 0)
		return usage("show takes nothing more");
	r = vbroker_list_policy(cli->session, &lines, &count);
	if (r != 0)
		return failure_request(cli, "show the policy", r);
	if (count == 0)
		printf("# No rule in force is about this user, so it gets no device.\n");
	for (size_t i = 0; i < count; i++) {
		const struct vbroker_policy_line *line = &lines[i];

		if (line->kind == VBROKER_POLICY_KEY)
			printf("%s\n", line->text);
		else if (line->kind == VBROKER_POLICY_SECTION && i + 1 < count)
			printf("%s# %s:%u\n[%s]\n", i > 0 ? "\n" : "", lines[i + 1].text, line->number, line->text);
	}
	free(lines);
	return CLI_OK;
}

/* ---- the command ---- */

int policy_run(const struct cli *cli)
{
	static const struct {
		const char *name;
		int (*run)(const struct cli *cli);
		bool needs_broker, about_somebody;
	} parts[] = {
		{"check", check, false, false},
		{"show", show, true, false},
		{"explain", explain_run, true, true},
	};
	struct cli with = *cli;
	int r;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (strcmp(cli->argument, parts[i].name) != 0)
			continue;
		if (!parts[i].about_somebody && (cli->user || cli->unit || cli->json))
			return usage("only explain has --user, --unit and --json");
		if (!parts[i].needs_broker)
			return parts[i].run(cli);
		r = vbroker_session_open(cli->socket, &with.session);
		if (r != 0)
			return failure_connect(cli->socket, r);
		r = parts[i].run(&with);
		vbroker_session_close(with.session);
		return r;
	}
	return usage("check, show or explain");
}
