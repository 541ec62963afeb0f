/* SPDX-License-Identifier: MIT */
#include "confinement.h"
#include "confinement_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the program ---- */

/* The folders searched without PATH. */
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static bool is_program(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

static int find_program(const char *name, char path[PATH_MAX])
{
	const char *folders = getenv("PATH");

	if (strchr(name, '/')) {
		if ((size_t)snprintf(path, PATH_MAX, "%s", name) >= PATH_MAX)
			return -ENAMETOOLONG;
		return access(path, X_OK) < 0 ? -errno : 0;
	}
	for (const char *at = folders ? folders : PATH_DEFAULT; *name && at;) {
		int length = (int)strcspn(at, ":");

		if (snprintf(path, PATH_MAX, "%.*s/%s", length > 0 ? length : 1, length > 0 ? at : ".", name) <
				PATH_MAX &&
			is_program(path))
			return 0;
		at = at[length] ? at + length + 1 : NULL;
	}
	return -ENOENT;
}

/* ---- files: Landlock ---- */

/* What a dynamic loader needs. The manual page has the same list. */
static const char *const loader_files[] = {
	"/lib",
	"/lib32",
	"/lib64",
	"/usr/lib",
	"/usr/lib32",
	"/usr/lib64",
	"/usr/local/lib",
	"/etc/ld.so.cache",
	"/etc/ld.so.preload",
};

/* struct landlock_ruleset_attr as of ABI 6; the kernel's headers may be older. */
struct rules {
	uint64_t files;
	uint64_t network;
	uint64_t scopes;
};

#define FILES_ABI_1	 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define FILES_REFER	 (UINT64_C(1) << 13) /* ABI 2 */
#define FILES_TRUNCATE	 (UINT64_C(1) << 14) /* ABI 3 */
#define FILES_IOCTL_DEV	 (UINT64_C(1) << 15) /* ABI 5 */
#define NETWORK_TCP	 UINT64_C(3)	     /* ABI 4: bind and connect */
#define SCOPES_ALL	 UINT64_C(3)	     /* ABI 6: abstract sockets, signals */
#define READABLE_FILES	 (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)
#define READABLE_FOLDERS (READABLE_FILES | LANDLOCK_ACCESS_FS_READ_DIR)

/* Rules against everything that the running kernel can refuse. RET_RULES: -1 if the kernel has no Landlock. */
static int rules_new(int *ret_rules)
{
	struct rules rules = {.files = FILES_ABI_1};
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t size = offsetof(struct rules, network);
	int fd;

	if (abi < 1) {
		*ret_rules = -1;
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	}
	rules.files |= abi >= 2 ? FILES_REFER : 0;
	rules.files |= abi >= 3 ? FILES_TRUNCATE : 0;
	rules.files |= abi >= 5 ? FILES_IOCTL_DEV : 0;
	if (abi >= 4) {
		rules.network = NETWORK_TCP;
		size = offsetof(struct rules, scopes);
	}
	if (abi >= 6) {
		rules.scopes = SCOPES_ALL;
		size = sizeof rules;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		return -errno;
	*ret_rules = fd;
	return 0;
}

static int allow_reading(int rules, const char *path)
{
	struct landlock_path_beneath_attr below = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
	struct stat status;
	int r = 0;

	if (below.parent_fd < 0)
		return -errno;
	if (fstat(below.parent_fd, &status) < 0)
		r = -errno;
	below.allowed_access = S_ISDIR(status.st_mode) ? READABLE_FOLDERS : READABLE_FILES;
	if (r == 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &below, 0) < 0)
		r = -errno;
	close(below.parent_fd);
	return r;
}

/* The name after "#!" in the file PATH; or an empty string: the file is no script, or cannot be read. */
static void interpreter_of(const char *path, char interpreter[PATH_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char line[PATH_MAX] = "";
	ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
	const char *name = line + 2;

	if (fd >= 0)
		close(fd);
	*interpreter = '\0';
	if (length < 3 || line[0] != '#' || line[1] != '!')
		return;
	name += strspn(name, " \t");
	snprintf(interpreter, PATH_MAX, "%.*s", (int)strcspn(name, " \t\n"), name);
}

/* The kernel follows five interpreters. */
#define INTERPRETERS_MAX 5

static int allow_program(int rules, const char *path)
{
	char names[2][PATH_MAX];
	const char *name = path;

	for (int i = 0; i < INTERPRETERS_MAX && *name; i++) {
		int r = allow_reading(rules, name);

		if (r < 0)
			return r;
		interpreter_of(name, names[i % 2]);
		name = names[i % 2];
	}
	return 0;
}

static int allow_files(
	struct confinement *confinement, const char *const *readable, size_t count, const char **ret_about)
{
	int r;

	for (size_t i = 0; i < sizeof loader_files / sizeof loader_files[0]; i++) {
		r = allow_reading(confinement->files, loader_files[i]);
		if (r < 0 && r != -ENOENT) {
			*ret_about = loader_files[i];
			return r;
		}
	}
	for (size_t i = 0; i < count; i++) {
		r = allow_reading(confinement->files, readable[i]);
		if (r < 0) {
			*ret_about = readable[i];
			return r;
		}
	}
	return allow_program(confinement->files, confinement->program);
}

/* ---- the filter's listener, from the driver's process to the owner ---- */

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static int hand_over(int socket, int listener)
{
	char byte = 0;
	union control control = {.space = ""};
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof listener);
	memcpy(CMSG_DATA(header), &listener, sizeof listener);
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* RET_LISTENER: -1 if the driver's process has ended. The sender is this program, before its exec(). */
static int take_over(int socket, int *ret_listener)
{
	char byte;
	union control control;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
	ssize_t r = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	if (r < 0)
		return -errno;
	*ret_listener = -1;
	if (r > 0 && CMSG_FIRSTHDR(&message))
		memcpy(ret_listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof *ret_listener);
	return 0;
}

/* The process that asks waits in execve() meanwhile, and is the owner's own code: nobody changes its arguments. */
static int consent(int listener)
{
	struct seccomp_notif *question;
	struct seccomp_notif_resp *answer;
	int r = seccomp_notify_alloc(&question, &answer);

	if (r < 0)
		return r;
	r = seccomp_notify_receive(listener, question);
	if (r == 0) {
		answer->id = question->id;
		answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		r = seccomp_notify_respond(listener, answer);
	}
	seccomp_notify_free(question, answer);
	return r;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- all of it ---- */

int confinement_open(struct confinement *confinement, const char *program, const char *const *readable, size_t count,
	const char **ret_about)
{
	int pair[2], r;

	*confinement = (struct confinement){.files = -1, .owner_end = -1, .driver_end = -1};
	*ret_about = program;
	r = find_program(program, confinement->program);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	confinement->owner_end = pair[0];
	confinement->driver_end = pair[1];
	r = rules_new(&confinement->files);
	if (r < 0)
		*ret_about = "Landlock";
	if (r < 0 || confinement->files < 0)
		return r;
	return allow_files(confinement, readable, count, ret_about);
}

bool confinement_has_files(const struct confinement *confinement)
{
	return confinement->files >= 0;
}

int confinement_enter(struct confinement *confinement)
{
	int listener, r;

	close_one(&confinement->owner_end);
	if (confinement->files >= 0 && syscall(SYS_landlock_restrict_self, confinement->files, 0) < 0)
		return -errno;
	close_one(&confinement->files);
	listener = confinement_calls_load();
	if (listener < 0)
		return listener;
	r = hand_over(confinement->driver_end, listener);
	close(listener);
	close_one(&confinement->driver_end);
	return r;
}

int confinement_consent(struct confinement *confinement)
{
	struct pollfd asked = {.events = POLLIN};
	int r;

	/* The last copy is the driver's: without it the owner would wait for a process that has ended. */
	close_one(&confinement->driver_end);
	r = take_over(confinement->owner_end, &asked.fd);
	if (r < 0 || asked.fd < 0)
		return r;
	while (poll(&asked, 1, -1) < 0 && errno == EINTR)
		;
	/* Without POLLIN, or with ENOENT, the process has ended first. */
	if (asked.revents & POLLIN)
		r = consent(asked.fd);
	/* Nobody consents any more: the kernel refuses each later execve(), with ENOSYS. */
	close(asked.fd);
	return r == -ENOENT || r == -ECANCELED ? 0 : r;
}

void confinement_close(struct confinement *confinement)
{
	close_one(&confinement->files);
	close_one(&confinement->owner_end);
	close_one(&confinement->driver_end);
}
