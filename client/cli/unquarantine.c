/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "failure.h"
#include "json.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * The kernel's own reset of one device (pci_reset_function). Done by this process, because the reset may take as long
 * as the device takes to come back. NAME is no path: the broker has just answered for the name. Returns 0 or a
 * negative errno.
 */
static int reset(const char *name)
{
	char path[128];
	int fd, r;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/reset", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write(fd, "1", 1) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int reset_failed(const char *name, const struct vbroker_unquarantined *now, int error)
{
	fprintf(stderr, "%s\n", now->ended);
	if (error == -ENOENT)
		fprintf(stderr, "vfio-brokerctl: %s has no way to be reset, so it stays quarantined.\n", name);
	else
		fprintf(stderr, "vfio-brokerctl: resetting %s: %s; it stays quarantined.\n", name, strerror(-error));
	fprintf(stderr,
		"What to do: switch the slot of the device or the machine off and on. "
		"Or, if the device is known\nto be idle and to hold no secrets of its last user: "
		"vfio-brokerctl unquarantine --force %s\n",
		name);
	return CLI_NO;
}

static int print_json(const char *name, bool forced, const struct vbroker_unquarantined *released)
{
	struct json_object *object = json_object_new_object();

	if (!object)
		return failure_memory();
	json_add_text(object, "name", name);
	json_add_bool(object, "reset", !forced);
	json_add_text(object, "ended", released->ended);
	json_add_text(object, "unverified", released->unverified);
	return json_print(object);
}

int unquarantine_run(const struct cli *cli)
{
	unsigned int flags = cli->force ? VBROKER_UNQUARANTINE_FORCE : 0;
	struct vbroker_unquarantined released;
	char name[TEXT_DEVICE_SIZE], what[TEXT_DEVICE_SIZE + 32];
	int r;

	text_device(name, cli->argument);
	snprintf(what, sizeof what, "end the quarantine of %s", name);
	/* No device is reset while in use: the broker answers whether the device is quarantined, so that nobody may
	 * have it. */
	r = vbroker_session_unquarantine(cli->session, name, flags | VBROKER_UNQUARANTINE_DRY_RUN, &released);
	if (r != 0)
		return failure_request(cli, what, r);
	r = cli->force ? 0 : reset(name);
	if (r < 0)
		return reset_failed(name, &released, r);
	r = vbroker_session_unquarantine(cli->session, name, flags, &released);
	if (r != 0)
		return failure_request(cli, what, r);
	if (cli->json)
		return print_json(name, cli->force, &released);
	printf("%s is not quarantined any more%s.\n", name, cli->force ? "" : ": it was reset");
	printf("It was: %s\nNot verified: %s\n", released.ended, released.unverified);
	return CLI_OK;
}
