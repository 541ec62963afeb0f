/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "detail.h"
#include "domain.h"
#include "systemd.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static const char *broker_program, *keeper_program, *front_program, *helper_program;
static struct world the_world;

struct world *world(void)
{
	return &the_world;
}

void nap(unsigned int milliseconds)
{
	nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- processes ---- */

/* sd-event makes one timerfd when the first timer is armed and keeps it: that one does not count. Neither does a
 * helper's note, nor its connection: idle helpers come and go. */
int process_fds(pid_t pid)
{
	char path[64], target[64];
	int count = 0, timers = 0, helpers_known = 0;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);

		target[length < 0 ? 0 : length] = '\0';
		if (strcmp(target, "anon_inode:[timerfd]") == 0)
			timers++;
		else if (strstr(target, "vfio-helper-note"))
			helpers_known++;
		else
			count += entry->d_name[0] != '.';
	}
	closedir(dir);
	return count - helpers_known + (timers > 1 ? timers : 0);
}

bool process_alive(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

long long process_status(pid_t pid, const char *field)
{
	char path[64], line[256];
	long long value = -1;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			value = strtoll(line + strlen(field) + 1, NULL, 16);
	}
	if (file)
		fclose(file);
	return value;
}

/* A zombie is gone as far as anybody here is concerned: socket activation reaps it when it likes. */
static size_t children(pid_t of, pid_t *pids, size_t max)
{
	char path[64], state;
	size_t count = 0;
	DIR *dir = opendir("/proc");

	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent = 0;
		FILE *file;

		if (pid <= 0)
			continue;
		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fscanf(file, "%*d (%*[^)]) %c %d", &state, &parent) == 2 && parent == of && state != 'Z' &&
			count < max)
			pids[count++] = pid;
		fclose(file);
	}
	closedir(dir);
	return count;
}

size_t keepers(pid_t pids[KEEPERS_MAX])
{
	return children(the_world.activate, pids, KEEPERS_MAX);
}

size_t helpers(pid_t pids[KEEPERS_MAX])
{
	return children(the_world.activate_helpers, pids, KEEPERS_MAX);
}

bool process_find(struct vbroker_session *session, enum vbroker_process_kind kind, enum vbroker_process_state state,
	pid_t pid, struct vbroker_process_entry *ret_entry)
{
	struct vbroker_process_entry *entries;
	bool found = false;
	size_t count;

	expect_ok(vbroker_list_processes(session, &entries, &count));
	for (size_t i = 0; i < count && !found; i++) {
		found = entries[i].kind == kind && entries[i].state == state &&
			(pid == 0 || entries[i].pid == (uint32_t)pid);
		if (found)
			*ret_entry = entries[i];
	}
	free(entries);
	return found;
}

size_t fronts(pid_t pids[FRONTS_MAX])
{
	return children(the_world.activate_fronts, pids, FRONTS_MAX);
}

pid_t front_of_clients(void)
{
	pid_t pids[FRONTS_MAX], best = 0;
	int most = 0, least = INT32_MAX;
	size_t count = fronts(pids);

	for (size_t i = 0; i < count; i++) {
		int fds = process_fds(pids[i]);

		least = fds < least ? fds : least;
		if (fds <= most)
			continue;
		most = fds;
		best = pids[i];
	}
	return most > least ? best : 0;
}

static const struct world_options *options;

/* A socket as the journal's, whose reader does nothing: the other end stays open here. */
static int full_socket(void)
{
	static const char line[1024];
	int pair[2], flags;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	flags = fcntl(pair[1], F_GETFL);
	fcntl(pair[1], F_SETFL, flags | O_NONBLOCK);
	for (size_t size = sizeof line; size > 0; size /= 2) {
		while (write(pair[1], line, size) > 0)
			continue;
	}
	fcntl(pair[1], F_SETFL, flags);
	return pair[1];
}

static pid_t start(const char *const *arguments, bool broker)
{
	bool kept = broker && options && options->systemd;
	char host[128], path[256];
	int log;
	pid_t pid;

	snprintf(host, sizeof host, "FAKE_HOST=%s", the_world.directory);
	snprintf(path, sizeof path, "%s/log", the_world.directory);
	log = broker && options && options->full_log ? full_socket()
						     : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(log >= 0);
	pid = kept ? systemd_fork() : fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *environment[2 + SYSTEMD_VARIABLES_MAX] = {host, (char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(log, STDERR_FILENO);
		dup2(log, STDOUT_FILENO);
		if (kept)
			systemd_pass(the_world.listener, environment + 2);
		execvpe(arguments[0], (char *const *)arguments, environment);
		_exit(127);
	}
	close(log);
	return pid;
}

/* True if somebody listens at PATH: connecting would start a keeper. */
static bool is_listening(const char *path)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char line[512];
	bool found = false;

	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		unsigned int flags = 0;

		line[strcspn(line, "\n")] = '\0';
		if (strlen(line) > strlen(path) && strcmp(line + strlen(line) - strlen(path), path) == 0 &&
			sscanf(line, "%*s %*s %*s %x", &flags) == 1)
			found = found || (flags & 0x10000); /* __SO_ACCEPTCON */
	}
	fclose(file);
	return found;
}

static void await_listening(const char *path)
{
	for (int i = 0; i < 1000 && !is_listening(path); i++)
		nap(5);
	assert_true(is_listening(path));
}

/* systemd-socket-activate gives its processes 1024 files; vfio-front@.service has more (LimitNOFILE=). */
static const char *const with_files[] = {"sh", "-c", "ulimit -S -n $(ulimit -H -n); exec \"$0\"", NULL};

/* For each connection to SOCKET, a process of PROGRAM is started: after the words BEFORE, with ARGUMENTS. */
static pid_t activate(
	const char *socket, const char *const *before, const char *program, const char *const *program_arguments)
{
	char host[128];
	const char *arguments[32] = {
		"systemd-socket-activate", "--seqpacket", "--accept", "--setenv", host, "-l", socket};
	size_t count = 7;
	pid_t pid;

	snprintf(host, sizeof host, "FAKE_HOST=%s", the_world.directory);
	for (size_t i = 0; before && before[i]; i++)
		arguments[count++] = before[i];
	arguments[count++] = program;
	for (size_t i = 0; program_arguments && program_arguments[i]; i++)
		arguments[count++] = program_arguments[i];
	unlink(socket);
	pid = start(arguments, false);
	await_listening(socket);
	return pid;
}

/* Where the broker, and its reader of policy files, find the files. Returns how many ARGUMENTS are added. */
static size_t add_policy(const char **arguments)
{
	static char policy[128], more[128];
	size_t count = 0;

	snprintf(policy, sizeof policy, "%s/policy", the_world.directory);
	arguments[count++] = "--policy";
	arguments[count++] = policy;
	if (options && options->policy_directory) {
		snprintf(more, sizeof more, "%s/%s", the_world.directory, options->policy_directory);
		arguments[count++] = "--policy";
		arguments[count++] = more;
	}
	return count;
}

void world_start_reader(void)
{
	const char *arguments[8] = {"--read-policy"};

	add_policy(arguments + 1);
	the_world.reader = activate(the_world.policy_socket, NULL, broker_program, arguments);
}

static void make_listener(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[256];

	snprintf(path, sizeof path, "%s/notify", the_world.directory);
	systemd_start(path);
	strcpy(address.sun_path, the_world.broker_socket);
	the_world.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(the_world.listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(the_world.listener, 64), 0);
}

void world_launch_broker(void)
{
	char claims[128], quarantine[128];
	const char *arguments[32] = {broker_program, "--keeper-socket", the_world.keeper_socket, "--front-socket",
		the_world.front_socket, "--helper-socket", the_world.helper_socket, "--policy-socket",
		the_world.policy_socket, "--claims", claims, "--quarantine", quarantine};
	size_t count = 13;

	snprintf(claims, sizeof claims, "%s/claims", the_world.directory);
	snprintf(quarantine, sizeof quarantine, "%s/quarantine", the_world.directory);
	for (size_t i = 0; options && i < 8 && options->broker_arguments[i]; i++)
		arguments[count++] = options->broker_arguments[i];
	count += add_policy(arguments + count);
	if (!options || !options->systemd) {
		arguments[count++] = "--listen";
		arguments[count++] = the_world.broker_socket;
		unlink(the_world.broker_socket);
	}
	the_world.broker = start(arguments, true);
}

void world_start_broker(void)
{
	world_launch_broker();
	for (int i = 0; i < 2000 && !is_listening(the_world.broker_socket); i++) {
		assert_true(process_alive(the_world.broker));
		nap(2);
	}
	/* It answers: the sandbox is loaded. */
	vbroker_session_close(session_begin());
}

void world_kill_broker(void)
{
	kill(the_world.broker, SIGKILL);
	assert_int_equal(waitpid(the_world.broker, NULL, 0), the_world.broker);
	the_world.broker = 0;
}

void world_stop_broker(void)
{
	int status;

	kill(the_world.broker, SIGTERM);
	assert_int_equal(waitpid(the_world.broker, &status, 0), the_world.broker);
	the_world.broker = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	if (options && options->systemd)
		systemd_drop();
}

void world_restart_broker(void)
{
	int status;

	kill(the_world.broker, SIGUSR1);
	assert_int_equal(waitpid(the_world.broker, &status, 0), the_world.broker);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	world_start_broker();
}

/* ---- the world ---- */

/* A life line, a control socket and a roll for each front. */
static int fds_without_fronts(void)
{
	pid_t pids[FRONTS_MAX];

	return process_fds(the_world.broker) - 3 * (int)fronts(pids);
}

/* What is not as at the start, or NULL. */
static const char *difference(char text[256])
{
	pid_t pids[KEEPERS_MAX];

	if (host_difference(text))
		return text;
	if (options && (options->no_keepers || options->keeper))
		return NULL;
	snprintf(text, 256, "%zu sockets are kept by systemd", systemd_kept("group-"));
	if (systemd_kept("group-") > 0)
		return text;
	snprintf(text, 256, "%zu keepers run", keepers(pids));
	if (keepers(pids) != 1)
		return text;
	snprintf(text, 256, "the broker has %d fds, not %d, and three for each front", fds_without_fronts(),
		the_world.broker_fds);
	if (the_world.broker_fds > 0 && fds_without_fronts() != the_world.broker_fds)
		return text;
	return NULL;
}

void world_settle(void)
{
	char text[256];

	for (int i = 0; i < WAITS; i++) {
		if (!difference(text))
			return;
		nap(i < 100 ? 2 : 10);
	}
	fail_msg("%s", difference(text));
}

void world_await_spare(struct vbroker_session *session)
{
	struct vbroker_status status;

	for (int i = 0; i < WAITS; i++) {
		expect_ok(vbroker_session_status(session, &status));
		if (status.keepers_spare == 1)
			return;
		nap(10);
	}
	fail_msg("the broker has no spare keeper");
}

enum vbroker_device_state device_state(struct vbroker_session *session, const char *name, uint32_t *ret_pid)
{
	struct vbroker_device_entry *entries;
	enum vbroker_device_state state = VBROKER_STATE_CLAIMING;
	size_t count;

	expect_ok(vbroker_list_devices(session, &entries, &count));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].name, name) != 0)
			continue;
		state = entries[i].state;
		*ret_pid = entries[i].holder.pid;
	}
	free(entries);
	return state;
}

void await_device_state(struct vbroker_session *session, const char *name, enum vbroker_device_state state)
{
	uint32_t pid;

	for (int i = 0; i < WAITS; i++) {
		if (device_state(session, name, &pid) == state)
			return;
		nap(5);
	}
	fail_msg("%s is in state %d, not %d", name, device_state(session, name, &pid), state);
}

/* A reader that takes long is no longer waited for by requests, and its policy comes later. */
static bool policy_is_read(const struct vbroker_status *status)
{
	return (options && options->no_reader) || status->policy_in_force || strstr(status->policy_error, ".conf:");
}

/* The broker has the ends of a front before the front's process is there, and for a moment after its end. */
static bool fronts_are_there(struct vbroker_session *session)
{
	struct vbroker_process_entry *entries;
	size_t count, known = 0;
	pid_t pids[FRONTS_MAX];
	bool starting = false;

	expect_ok(vbroker_list_processes(session, &entries, &count));
	for (size_t i = 0; i < count; i++) {
		if (entries[i].kind != VBROKER_PROCESS_FRONT)
			continue;
		known++;
		starting = starting || entries[i].pid == 0;
	}
	free(entries);
	return !starting && fronts(pids) == known;
}

/* Counted when the broker has seen the end of all other sessions, however slow the host. */
static int fds_of_an_idle_broker(void)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_status status = {0};
	struct vbroker_obstacle *obstacles;
	size_t count;
	int fds, claim;

	/* The answer comes when the policy has been read. */
	expect_ok(vbroker_session_check(session, EDU, &obstacles, &count, &claim));
	free(obstacles);
	for (int i = 0; i < WAITS && (status.sessions != 1 || !policy_is_read(&status)); i++) {
		expect_ok(vbroker_session_status(session, &status));
		nap(2);
	}
	assert_int_equal(status.sessions, 1);
	for (int i = 0; i < WAITS && !fronts_are_there(session); i++)
		nap(2);
	fds = fds_without_fronts();
	vbroker_session_close(session);
	return fds;
}

int world_setup(void **state)
{
	struct vbroker_session *session;

	options = *state;
	memset(&the_world, 0, sizeof the_world);
	strcpy(the_world.directory, "/tmp/vfio-broker-test.XXXXXX");
	assert_non_null(mkdtemp(the_world.directory));
	snprintf(the_world.broker_socket, sizeof the_world.broker_socket, "%s/broker.sock", the_world.directory);
	snprintf(the_world.keeper_socket, sizeof the_world.keeper_socket, "%s/keeper.sock", the_world.directory);
	snprintf(the_world.front_socket, sizeof the_world.front_socket, "%s/front.sock", the_world.directory);
	snprintf(the_world.policy_socket, sizeof the_world.policy_socket, "%s/policy.sock", the_world.directory);
	snprintf(the_world.helper_socket, sizeof the_world.helper_socket, "%s/helper.sock", the_world.directory);
	host_make();
	host_write("policy/10-test.conf", options && options->policy ? options->policy : host_policy);
	if (!options || !options->no_keepers)
		the_world.activate =
			activate(the_world.keeper_socket, options ? options->keeper : NULL, keeper_program, NULL);
	the_world.activate_fronts = activate(the_world.front_socket, with_files, front_program, NULL);
	if (!options || !options->no_helpers)
		the_world.activate_helpers = activate(the_world.helper_socket, NULL, helper_program, NULL);
	if (!options || !options->no_reader)
		world_start_reader();
	if (options && options->systemd)
		make_listener();
	world_start_broker();
	if (options && (options->no_keepers || options->keeper))
		return 0;
	session = session_begin();
	world_await_spare(session);
	vbroker_session_close(session);
	the_world.broker_fds = fds_of_an_idle_broker();
	world_settle();
	return 0;
}

static void end_process(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

/* Ends the broker the good way, so that the leak check of AddressSanitizer has its say. */
static int end_broker(void)
{
	int status = 0;

	if (the_world.broker <= 0)
		return 0;
	kill(the_world.broker, SIGTERM);
	for (int i = 0; i < 3000; i++) {
		if (waitpid(the_world.broker, &status, WNOHANG) == the_world.broker) {
			the_world.broker = 0;
			return status;
		}
		nap(2);
	}
	end_process(&the_world.broker);
	return -1;
}

int world_teardown(void **state)
{
	pid_t pids[KEEPERS_MAX];
	char command[128];
	int status = end_broker();
	bool broken;

	(void)state;
	/* Their leak check, too. */
	for (int i = 0; i < 1000 && the_world.activate > 0 && keepers(pids) > 0; i++)
		nap(2);
	for (int i = 0; i < 1000 && fronts(pids) > 0; i++)
		nap(2);
	for (int i = 0; i < 1000 && the_world.activate_helpers > 0 && helpers(pids) > 0; i++)
		nap(2);
	end_process(&the_world.activate);
	end_process(&the_world.activate_fronts);
	end_process(&the_world.activate_helpers);
	end_process(&the_world.reader);
	if (options && options->systemd) {
		systemd_end();
		close(the_world.listener);
	}
	broken = status != 0 || strstr(host_read("log"), "Sanitizer") || strstr(host_read("log"), "runtime error") ||
		strstr(host_read("log"), "Assertion");
	if (broken)
		fprintf(stderr, "broker: wait status %#x; log:\n%s\n", status, host_read("log"));
	snprintf(command, sizeof command, "rm -rf %s", the_world.directory);
	return system(command) == 0 && !broken ? 0 : -1;
}

int harness_run(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count)
{
	if (argc != 5) {
		print_error("usage: %s BROKER KEEPER FRONT HELPER\n", argv[0]);
		return 2;
	}
	if (access("/usr/bin/systemd-socket-activate", X_OK) < 0) {
		printf("1..0 # SKIP no systemd-socket-activate, which starts keepers (package systemd)\n");
		return 0;
	}
	broker_program = argv[1];
	keeper_program = argv[2];
	front_program = argv[3];
	helper_program = argv[4];
	/* What a shell has left open would be counted as the broker's, until sockets are passed to one in its place. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	signal(SIGPIPE, SIG_IGN);
	return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}

/* ---- clients ---- */

void expect_ok(int result)
{
	char text[600];

	if (result != 0)
		fail_msg("%s", vbroker_describe_result(result, text, sizeof text));
}

void expect_refused(int result, int refusal, const char *words)
{
	if (result != refusal)
		fail_msg("%s (%d: %s) instead of %s", result > 0 ? vbroker_refusal_name(result) : "errno", result,
			vbroker_detail(), vbroker_refusal_name(refusal));
	if (words && !strstr(vbroker_detail(), words))
		fail_msg("\"%s\" does not say \"%s\"", vbroker_detail(), words);
}

struct vbroker_session *session_begin(void)
{
	struct vbroker_session *session = NULL;

	expect_ok(vbroker_session_open(the_world.broker_socket, &session));
	return session;
}

struct vbroker_device *device_begin(struct vbroker_session *session, const char *name)
{
	struct vbroker_device *device = NULL;

	expect_ok(vbroker_device_open(session, name, &device));
	return device;
}

struct vbroker_domain *domain_begin(void)
{
	struct vbroker_domain *domain = NULL;

	expect_ok(domain_open_on(&fake_domain, &domain));
	return domain;
}

void device_use(struct vbroker_session *session, const char *name)
{
	struct vbroker_device *device = device_begin(session, name);
	struct vbroker_domain *domain = domain_begin();

	expect_ok(vbroker_device_bind(device, domain));
	vbroker_device_close(device);
	vbroker_domain_close(domain);
}

int stranger_opens(const char *name)
{
	int status;
	pid_t pid;

	chmod(world()->directory, 0711);
	chmod(world()->broker_socket, 0666);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct vbroker_session *session;
		struct vbroker_device *device;

		if (setgid(STRANGER) < 0 || setuid(STRANGER) < 0 ||
			vbroker_session_open(world()->broker_socket, &session) != 0)
			_exit(200);
		_exit(vbroker_device_open(session, name, &device) & 0x7f);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
