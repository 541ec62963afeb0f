/* SPDX-License-Identifier: MIT */
#include "drive.h"

#include "confinement.h"
#include "failure.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The ready-made owner of an IOMMU domain: leases devices, binds the devices to a domain of its own, and starts a
 * driver with the channels of the devices and of the domain, and nothing else. Memory requested by the driver is
 * mapped here and counts against this process.
 */

#define FIRST_FD 3 /* sd_listen_fds(3) */

struct drive {
	const struct drive_options *options;
	struct confinement confinement;
	struct vbroker_device *devices[DRIVE_DEVICES_MAX];
	struct vbroker_domain *domain;
	struct vbroker_domain_server *server;
	int channel; /* the driver's end of the domain channel; -1: handed over */
	int signals; /* signalfd */
	pid_t driver;
};

bool drive_budget(const char *text, struct vbroker_budget *ret_budget)
{
	static const char suffixes[] = "KMG";
	uint64_t bytes, mappings = ret_budget->mappings;
	const char *suffix;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	bytes = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		unsigned int shift = 10 * (unsigned int)(suffix - suffixes + 1);

		if (bytes > UINT64_MAX >> shift)
			return false;
		bytes <<= shift;
		end++;
	}
	if (*end == ',' && end[1] >= '0' && end[1] <= '9')
		mappings = strtoull(end + 1, &end, 10);
	if (*end != '\0' || errno != 0 || mappings > UINT32_MAX)
		return false;
	ret_budget->bytes = bytes;
	ret_budget->mappings = (uint32_t)mappings;
	return true;
}

/* ---- devices and domain ---- */

static int open_devices(struct drive *drive, const struct cli *cli)
{
	const struct drive_options *options = drive->options;
	char what[96];
	int r;

	for (size_t i = 0; i < options->devices_count; i++) {
		snprintf(what, sizeof what, "lease %.40s", options->devices[i]);
		r = vbroker_device_open(cli->session, options->devices[i], &drive->devices[i]);
		if (r != 0)
			return failure_request(cli, what, r);
	}
	r = vbroker_domain_open(&drive->domain);
	if (r != 0)
		return failure_request(cli, "open an IOMMU domain", r);
	for (size_t i = 0; i < options->devices_count; i++) {
		snprintf(what, sizeof what, "bind %.40s to the domain", options->devices[i]);
		r = vbroker_device_bind(drive->devices[i], drive->domain);
		if (r != 0)
			return failure_request(cli, what, r);
	}
	r = vbroker_domain_serve(drive->domain, &drive->options->budget, &drive->server, &drive->channel);
	return r == 0 ? CLI_OK : failure_request(cli, "make a domain channel", r);
}

static int failed(const char *what, int error)
{
	fprintf(stderr, "vfio-brokerctl: drive: %s: %s\n", what, strerror(-error));
	return CLI_NO;
}

/* The owner of a domain can be reached through /proc and ptrace() by a process of the same user, a driver above all;
 * the kernel keeps everybody out of a process that is not dumpable. */
static int prepare(struct drive *drive)
{
	const struct drive_options *options = drive->options;
	const char *about;
	int r;

	if (prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) < 0)
		return failed("PR_SET_DUMPABLE", -errno);
	r = confinement_open(
		&drive->confinement, options->driver[0], options->readable, options->readable_count, &about);
	if (r < 0)
		return failed(about, r);
	if (!confinement_has_files(&drive->confinement))
		fprintf(stderr,
			"vfio-brokerctl: drive: this kernel has no Landlock: until the driver calls "
			"vbroker_sandbox_enter(), the driver may read what its user may read\n");
	return CLI_OK;
}

/* ---- the driver's process, up to exec() ---- */

static void child_die(const char *what)
{
	fprintf(stderr, "vfio-brokerctl: drive: %s: %s\n", what, strerror(errno));
	_exit(CLI_NO);
}

/* An exec() as root brings back the capabilities in the bounding set. Emptying the bounding set needs CAP_SETPCAP;
 * without CAP_SETPCAP, no_new_privs keeps exec() from adding to the permitted set. */
static int drop_capabilities(void)
{
	capng_select_t set = CAPNG_SELECT_CAPS;

	if (capng_get_caps_process() < 0)
		return -1;
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		set = CAPNG_SELECT_ALL;
	capng_clear(set);
	return capng_apply(set);
}

/* Descriptors 3 on, and their names: the domain, then the devices. All others but the standard ones are closed. */
static void child_take_fds(struct drive *drive)
{
	const struct drive_options *options = drive->options;
	char names[64 * (DRIVE_DEVICES_MAX + 1)] = "domain", number[16];
	int count = 1 + (int)options->devices_count;
	/* First copied out of the way: a number among 3 ... 3 + count may be a descriptor still needed. */
	int high[DRIVE_DEVICES_MAX + 1];

	for (int i = 0; i < count; i++) {
		int fd = i == 0 ? drive->channel : vbroker_device_fd(drive->devices[i - 1]);

		high[i] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + count);
		if (high[i] < 0)
			child_die("passing channels");
	}
	for (int i = 0; i < count; i++) {
		if (dup2(high[i], FIRST_FD + i) < 0)
			child_die("passing channels");
	}
	if (close_range((unsigned int)(FIRST_FD + count), ~0U, 0) < 0)
		child_die("closing descriptors");
	for (size_t i = 0; i < options->devices_count; i++) {
		size_t used = strlen(names);

		snprintf(names + used, sizeof names - used, ":device-%.40s", options->devices[i]);
		for (char *c = names + used + 1; *c; c++)
			*c = *c == ':' ? '-' : *c;
	}
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof number, "%d", count);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof number, "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
}

static void child_run(struct drive *drive) __attribute__((noreturn));
static void child_run(struct drive *drive)
{
	sigset_t none;
	int r;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0 || drop_capabilities() < 0)
		child_die("giving up privileges");
	/* A driver without its owner has no memory and should not have its device. */
	if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL) < 0)
		child_die("PR_SET_PDEATHSIG");
	r = confinement_enter(&drive->confinement);
	if (r < 0) {
		errno = -r;
		child_die("confinement");
	}
	child_take_fds(drive);
	execve(drive->confinement.program, drive->options->driver, environ);
	child_die(drive->options->driver[0]);
	_exit(CLI_NO);
}

/* ---- serving the driver ---- */

static int start_driver(struct drive *drive)
{
	static const int caught[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
	sigset_t set;
	int r;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
		sigaddset(&set, caught[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	drive->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	drive->driver = drive->signals < 0 ? -1 : fork();
	if (drive->driver == 0)
		child_run(drive);
	close(drive->channel);
	drive->channel = -1;
	if (drive->driver < 0) {
		perror("vfio-brokerctl: drive");
		return CLI_NO;
	}
	r = confinement_consent(&drive->confinement);
	return r < 0 ? failed("starting the driver", r) : CLI_OK;
}

/* Passes signals on. True, with the driver's exit status, when the driver has ended. */
static bool take_signal(struct drive *drive, int *ret_status)
{
	struct signalfd_siginfo info;

	while (read(drive->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo != SIGCHLD)
			kill(drive->driver, (int)info.ssi_signo);
		else if (waitpid(drive->driver, ret_status, WNOHANG) == drive->driver)
			return true;
	}
	return false;
}

/* If the driver has closed the domain channel, or broken the protocol, the driver goes on without the channel: its
 * mappings are gone. */
static void serve(struct drive *drive)
{
	int r = vbroker_domain_server_dispatch(drive->server);

	if (r == 0)
		return;
	if (r != -EPIPE)
		fprintf(stderr, "vfio-brokerctl: drive: the driver's domain channel is closed: %s\n", vbroker_detail());
	vbroker_domain_server_close(drive->server);
	drive->server = NULL;
}

static int wait_for_driver(struct drive *drive)
{
	int status = 0;

	for (;;) {
		struct pollfd polled[] = {
			{.fd = drive->signals, .events = POLLIN},
			{.fd = drive->server ? vbroker_domain_server_fd(drive->server) : -1,
				.events = drive->server ? vbroker_domain_server_events(drive->server) : (short)0},
		};

		if (poll(polled, 2, -1) < 0 && errno != EINTR)
			return CLI_NO;
		if (polled[0].revents && take_signal(drive, &status))
			break;
		if (polled[1].revents)
			serve(drive);
	}
	if (WIFSIGNALED(status)) {
		fprintf(stderr, "vfio-brokerctl: drive: %s was ended by %s\n", drive->options->driver[0],
			strsignal(WTERMSIG(status)));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

/* Says if a device was taken away: the loss may be why the driver has ended. */
static void explain_revocations(const struct drive *drive)
{
	for (size_t i = 0; i < drive->options->devices_count; i++) {
		struct pollfd p = {.fd = vbroker_device_fd(drive->devices[i])};
		char text[512];
		int r;

		if (poll(&p, 1, 0) != 1)
			continue;
		r = vbroker_device_ping(drive->devices[i]);
		if (r > 0)
			fprintf(stderr, "vfio-brokerctl: drive: %s: %s\n", drive->options->devices[i],
				vbroker_describe_result(r, text, sizeof text));
	}
}

int drive_run(const struct cli *cli)
{
	struct drive drive = {.options = cli->drive,
		.channel = -1,
		.signals = -1,
		.confinement = {.files = -1, .owner_end = -1, .driver_end = -1}};
	int r = prepare(&drive);

	if (r == CLI_OK)
		r = open_devices(&drive, cli);
	if (r == CLI_OK)
		r = start_driver(&drive);
	if (r == CLI_OK) {
		r = wait_for_driver(&drive);
		if (r != CLI_OK)
			explain_revocations(&drive);
	}
	if (drive.channel >= 0)
		close(drive.channel);
	if (drive.signals >= 0)
		close(drive.signals);
	vbroker_domain_server_close(drive.server);
	for (size_t i = 0; i < DRIVE_DEVICES_MAX; i++)
		vbroker_device_close(drive.devices[i]);
	vbroker_domain_close(drive.domain);
	confinement_close(&drive.confinement);
	return r;
}
