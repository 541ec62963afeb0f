/* SPDX-License-Identifier: MIT */
#ifndef INTEGRATION_HARNESS_H
#define INTEGRATION_HARNESS_H

#include "unit.h"

#include "container.h"
#include "packet.h"
#include "table.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/*
 * A world for session tests: a host made of files (tests/fake/file_tree.h), the broker on it, and systemd's socket
 * activation that starts helpers on the same host, and keepers on the fake VFIO (tests/fake/container.h). Real
 * processes, real sockets; only the kernel's PCI and VFIO are made up. Each test has a world of its own.
 */

/* The devices of the world; "who may" is by its policy. */
#define EDU	  "0000:00:01.0" /* group 1, with vfio-pci for good */
#define EDU_2	  "0000:00:02.0" /* group 2, the same */
#define NVME	  "0000:00:03.0" /* group 3, driven by nvme, may be rebound */
#define TWIN	  "0000:00:04.0" /* group 4, with ... */
#define TWIN_2	  "0000:00:04.1" /* ... its sibling, both with vfio-pci */
#define MIXED	  "0000:00:05.0" /* group 5, with ... */
#define MIXED_NIC "0000:00:05.1" /* ... a sibling that e1000 drives */
#define NO_IOMMU  "0000:00:06.0" /* no group */
#define DEAD	  "0000:00:07.0" /* group 7; reads all ones */
#define VIRTIO	  "0000:00:08.0" /* group 8, driven by virtio-pci, may not be rebound */
#define LOCKED	  "0000:00:09.0" /* group 9, denied by a rule */
#define NOBODYS	  "0000:00:0a.0" /* group 10, no rule */
#define BARE	  "0000:00:0b.0" /* group 11, no driver, may be rebound */
#define STUBBED	  "0000:00:0c.0" /* group 12, driven by pci-stub by driver_override, may be rebound */

struct world {
	char directory[64];
	char broker_socket[96];
	char keeper_socket[96];
	char front_socket[96];
	char helper_socket[96];
	char policy_socket[96];
	pid_t activate;		/* systemd-socket-activate: the parent of all keepers ... */
	pid_t activate_fronts;	/* and of all fronts ... */
	pid_t activate_helpers; /* and of all helpers ... */
	pid_t reader;		/* and of all readers of the policy */
	pid_t broker;
	int broker_fds; /* with nobody connected and one spare keeper; those for fronts and helpers apart */
	int listener;	/* systemd's, with options.systemd */
};

struct world_options {
	const char *policy;		 /* NULL: the one of host.c */
	const char *policy_directory;	 /* below the world's: another one, less important */
	const char *broker_arguments[8]; /* more of them, ended by NULL */
	const char *const *keeper;	 /* another program in the keeper's place, whose path is added */
	bool no_keepers;		 /* nobody listens where keepers are started */
	bool no_reader;			 /* nobody listens where readers of the policy are started, until ... */
	bool no_helpers;		 /* nobody listens where helpers are started */
	bool systemd;			 /* the broker's sockets outlive it (systemd.h) */
	bool full_log;			 /* the broker's stderr is a full socket that nobody reads */
};

/* Ends the whole program's main(): runs TESTS with what meson passes as arguments. */
int harness_run(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count);
#define HARNESS_RUN(argc, argv, name, tests) harness_run(argc, argv, name, tests, sizeof(tests) / sizeof *(tests))

/* A test in a world of its own; WORLD() is that. */
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
#define CASE_IN(name, options)                                                                                         \
	cmocka_unit_test_prestate_setup_teardown(name, world_setup, world_teardown, (void *)(options))
int world_setup(void **state);
int world_teardown(void **state);
struct world *world(void);

/* Starts the broker and waits until it serves; kills it; ends it as systemd would and wants exit status 0. */
void world_start_broker(void);
void world_kill_broker(void);
void world_stop_broker(void);
/* As systemd does by `systemctl restart`. */
void world_restart_broker(void);
/* Starts it without waiting until it serves. */
void world_launch_broker(void);
/* ... world_start_reader(). */
void world_start_reader(void);

/*
 * Waits until everything is as at the start: each device with its driver and override, no claim record, no keeper but
 * the spare one, the broker with as many fds as it began with (those for fronts apart, which stay for a while).
 * Fails, saying what is different, if that takes too long.
 */
void world_settle(void);

/* Waits until the broker has a spare keeper: it starts one some time after each lease. */
void world_await_spare(struct vbroker_session *session);

/* ---- processes ---- */

/* Open file descriptors of a process; -1: it is gone. */
int process_fds(pid_t pid);
bool process_alive(pid_t pid);
/* A hexadecimal number of /proc/PID/status, or -1. */
long long process_status(pid_t pid, const char *field);
/* The keepers that run. Returns how many. */
#define KEEPERS_MAX 64
size_t keepers(pid_t pids[KEEPERS_MAX]);
/* The same for fronts, the spare one included. */
#define FRONTS_MAX 64
size_t fronts(pid_t pids[FRONTS_MAX]);
/* Fronts with a connection of anybody's: those that hold more sockets than the spare one. The first is returned; 0:
 * none. */
pid_t front_of_clients(void);

/* The same for helpers. */
size_t helpers(pid_t pids[KEEPERS_MAX]);

/* What the broker says of its process PID (0: of the first one) of that kind and state. False: there is none. */
bool process_find(struct vbroker_session *session, enum vbroker_process_kind kind, enum vbroker_process_state state,
	pid_t pid, struct vbroker_process_entry *ret_entry);

/* The device's state as LIST has it, and who it says has or had it. */
enum vbroker_device_state device_state(struct vbroker_session *session, const char *name, uint32_t *ret_pid);
void await_device_state(struct vbroker_session *session, const char *name, enum vbroker_device_state state);

/* Looks at what is to come, with naps of 2 to 10 ms between: patience for a host with a load of 20. */
#define WAITS 6000
/* Sleeps a little; used in loops with their own end. */
void nap(unsigned int milliseconds);
uint64_t now_ms(void);

/* ---- the host (host.c) ---- */

/* Makes its files, in the world's directory, and the policy that a world has without another one. */
void host_make(void);
extern const char host_policy[];
/* What is not as host_make() made it, claims and quarantine records included, or NULL. */
const char *host_difference(char text[256]);
/* The content of a file of the host, "devices/NAME/driver" say; "" if there is none. */
const char *host_read(const char *path);
void host_write(const char *path, const char *text);
void expect_driver(const char *device, const char *driver);
/* Waits until the device is back with DRIVER, and its claim has gone: a helper sees to that after the refusal. */
void await_driver(const char *device, const char *driver);
size_t host_claims(void);
/* The fake kernel's group, to look at and to make fail. Valid until the next test. */
struct fake_group *host_group(unsigned int number);
struct fake_device *host_device(unsigned int group, const char *name);
/* Whether the kernel knows how to reset it. */
void host_set_reset(unsigned int group, const char *name, bool there);

/* ---- clients ---- */

struct vbroker_session *session_begin(void);
struct vbroker_device *device_begin(struct vbroker_session *session, const char *name);
struct vbroker_domain *domain_begin(void);
/* A lease that reaches the device, and its end. */
void device_use(struct vbroker_session *session, const char *name);
/* RESULT is this refusal, and its detail says all of WORDS (NULL: whatever). */
void expect_refused(int result, int refusal, const char *words);
void expect_ok(int result);
/* What OPEN says to another user (STRANGER): 0, a refusal, or a negative errno. */
#define STRANGER 12345
int stranger_opens(const char *name);

#endif
