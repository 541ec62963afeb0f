/* SPDX-License-Identifier: MIT */
#include "service.h"

#include "container.h"
#include "fdset.h"
#include "figure.h"
#include "processor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a start may take; the machine may be busy. */
#define PATIENCE_MS 10000

#define GROUP 5

void must(int result, const char *what)
{
	char line[512];

	if (result == 0)
		return;
	errno = 0;
	die("%s: %s", what, vbroker_describe_result(result, line, sizeof line));
}

/* ---- files ---- */

static void make_directory(const char *directory, const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	if (mkdir(path, 0700) < 0)
		die("%s", path);
}

static int make_file(const char *directory, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("%s", path);
	return fd;
}

static void make_text(const char *directory, const char *name, const char *text)
{
	int fd = make_file(directory, name);

	if (write(fd, text, strlen(text)) < 0)
		die("%s/%s", directory, name);
	close(fd);
}

/* As tests/fake/file_tree.h describes it. */
static void make_host(const char *directory)
{
	static const char *const names[] = {SERVICE_DEVICE, NULL};
	int group;

	make_directory(directory, "devices");
	make_directory(directory, "devices/" SERVICE_DEVICE);
	make_directory(directory, "drivers");
	make_directory(directory, "groups");
	make_text(directory, "devices/" SERVICE_DEVICE "/ids", "1234 11e8 00ff00 5\n");
	make_text(directory, "devices/" SERVICE_DEVICE "/driver", "vfio-pci\n");
	make_text(directory, "drivers/vfio-pci", "");
	group = make_file(directory, "groups/5");
	if (fake_group_format(group, GROUP, true, names) < 0)
		die("fake group");
	close(group);
}

/* ---- processes ---- */

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...)
{
	va_list arguments;
	char *result;

	va_start(arguments, format);
	if (vasprintf(&result, format, arguments) < 0)
		die("out of memory");
	va_end(arguments);
	return result;
}

/* ARGV's strings are freed here, but for the first. Output goes to a file in the service's directory. */
static pid_t start(const struct service *service, char **argv)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int log = make_file(service->directory, strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0]);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		processor_pin_server(0);
		setenv("FAKE_HOST", service->directory, 1);
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		execvp(argv[0], argv);
		dprintf(log, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	for (size_t i = 1; argv[i]; i++)
		free(argv[i]);
	return pid;
}

static void stop(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

static void pause_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

static void await_file(const char *path)
{
	for (int ms = 0; access(path, F_OK) < 0; ms++) {
		if (ms == PATIENCE_MS)
			die("%s is not there after %d s", path, PATIENCE_MS / 1000);
		pause_ms(1);
	}
}

static pid_t start_activator(const struct service *service, const char *socket, const char *program)
{
	/* systemd-socket-activate gives its processes 1024 files; the units have more (LimitNOFILE=). */
	char *argv[] = {(char *)"systemd-socket-activate", text("--listen=%s", socket), text("--seqpacket"),
		text("--accept"), text("--setenv=FAKE_HOST=%s", service->directory), text("sh"), text("-c"),
		text("ulimit -S -n $(ulimit -H -n); exec \"$0\""), text("%s", program), NULL};
	pid_t pid = start(service, argv);

	await_file(socket);
	return pid;
}

static void start_reader(struct service *service, const char *broker)
{
	char *argv[] = {(char *)"systemd-socket-activate", text("--listen=%s/policy.sock", service->directory),
		text("--seqpacket"), text("--accept"), text("%s", broker), text("--read-policy"),
		text("--policy=%s", service->directory), NULL};
	char path[256];

	service->reader = start(service, argv);
	snprintf(path, sizeof path, "%s/policy.sock", service->directory);
	await_file(path);
}

static void start_broker(struct service *service, const char *broker)
{
	char *argv[] = {(char *)broker, text("--listen=%s", service->socket), text("--policy=%s", service->directory),
		text("--policy-socket=%s/policy.sock", service->directory),
		text("--claims=%s/claims", service->directory), text("--quarantine=%s/quarantine", service->directory),
		text("--keeper-socket=%s", service->keeper_socket), text("--front-socket=%s", service->front_socket),
		text("--helper-socket=%s", service->helper_socket), text("--sessions-per-user=20000"), NULL};

	service->broker = start(service, argv);
}

/* Its log says so; to connect would be the end of a broker that never had a client. */
static bool broker_ready(const struct service *service, const char *broker)
{
	char path[256], text[4096];
	OWNED_FD fd = -1;
	ssize_t length;

	snprintf(path, sizeof path, "%s/%s", service->directory, strrchr(broker, '/') + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (length < 0)
		return false;
	text[length] = '\0';
	return strstr(text, "ready: ") != NULL;
}

void service_start(struct service *service, const char *directory, const char *broker, const char *keeper,
	const char *front, const char *helper)
{
	char *policy;

	*service = (struct service){0};
	if (mkdir(directory, 0700) < 0 || strlen(directory) >= sizeof service->directory)
		die("%s", directory);
	strcpy(service->directory, directory);
	snprintf(service->socket, sizeof service->socket, "%s/broker.sock", directory);
	snprintf(service->keeper_socket, sizeof service->keeper_socket, "%s/keeper.sock", directory);
	snprintf(service->front_socket, sizeof service->front_socket, "%s/front.sock", directory);
	snprintf(service->helper_socket, sizeof service->helper_socket, "%s/helper.sock", directory);
	make_host(directory);
	policy = text("[allow bench]\naddress = *\nuser = *\n"
		      "[limits offenders]\nuser = %d\nconnections-per-minute = 6000\n",
		SERVICE_LIMITED);
	make_text(directory, "bench.conf", policy);
	free(policy);
	start_reader(service, broker);
	service->activator = start_activator(service, service->keeper_socket, keeper);
	service->activator_fronts = start_activator(service, service->front_socket, front);
	service->activator_helpers = start_activator(service, service->helper_socket, helper);
	start_broker(service, broker);
	for (int ms = 0; !broker_ready(service, broker); ms++) {
		if (ms == PATIENCE_MS || waitpid(service->broker, NULL, WNOHANG) != 0)
			die("%s does not start; its log is in %s", broker, directory);
		pause_ms(1);
	}
}

void service_stop(struct service *service)
{
	stop(&service->broker);
	stop(&service->activator);
	stop(&service->reader);
	stop(&service->activator_fronts);
	stop(&service->activator_helpers);
}

/* ---- what it is asked ---- */

struct vbroker_session *service_connect(const struct service *service)
{
	struct vbroker_session *session;

	must(vbroker_session_open(service->socket, &session), "connecting to the broker");
	return session;
}

void service_await_spare(struct vbroker_session *session)
{
	struct vbroker_status status;

	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		must(vbroker_session_status(session, &status), "STATUS");
		if (status.keepers_spare > 0)
			return;
		pause_ms(1);
	}
	die("no spare keeper after %d s", PATIENCE_MS / 1000);
}

static pid_t first_child(pid_t of)
{
	char path[64];
	FILE *children;
	int pid = 0;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)of, (int)of);
	children = fopen(path, "re");
	if (!children || fscanf(children, "%d", &pid) != 1)
		die("no process in %s", path);
	fclose(children);
	return pid;
}

pid_t service_keeper(const struct service *service)
{
	return first_child(service->activator);
}

pid_t service_front(const struct service *service)
{
	return first_child(service->activator_fronts);
}

pid_t service_helper(const struct service *service)
{
	return first_child(service->activator_helpers);
}

unsigned long service_rolls(const struct service *service)
{
	char path[64], target[64];
	unsigned long bytes = 0;
	struct stat status;

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t length;

		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)service->broker, fd);
		length = readlink(path, target, sizeof target - 1);
		target[length < 0 ? 0 : length] = '\0';
		if (strncmp(target, "/memfd:roll", 11) == 0 && stat(path, &status) == 0)
			bytes += (unsigned long)status.st_blocks * 512;
	}
	return bytes;
}
