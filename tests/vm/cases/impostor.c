/* SPDX-License-Identifier: MIT */
#include "message.h"
#include "raw-client.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfio-broker.h>

/*
 * Who wants to be somebody else for the rules:
 *
 *	reaped DEVICE			a process connects, asks for DEVICE and is gone before the broker looks
 *	uids OWNER FIRST COUNT EACH	COUNT uids from FIRST on, in a user namespace of OWNER's, with EACH connections.
 *					Started by root, who does what newuidmap(1) does by /etc/subuid
 */

static void wait_for_go(void)
{
	char line[16];

	puts(": waiting");
	if (!fgets(line, sizeof line, stdin))
		exit(EXIT_FAILURE);
}

static int reaped(const char *device)
{
	const struct hello_request hello = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION};
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = VBROKER_SOCKET};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct open_request open = {0};
	char reply[MESSAGE_SIZE_MAX];
	const struct message_header *header = (const void *)reply;
	pid_t pid = fork();

	strncpy(open.name, device, sizeof open.name - 1);
	if (pid == 0)
		_exit(connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
			raw_send(fd, BROKER_HELLO, &hello, sizeof hello, -1, 0) < 0 ||
			raw_send(fd, BROKER_OPEN, &open, sizeof open, -1, 0) < 0);
	if (waitpid(pid, NULL, 0) != pid)
		verdict_die("a process that connects");
	printf("pid %d", pid);
	wait_for_go();
	for (int i = 0; i < 2; i++) {
		if (raw_wait(fd, RAW_PATIENCE_MS) < 0 || recv(fd, reply, sizeof reply, 0) < (ssize_t)sizeof *header)
			verdict_die("a reply");
		printf("%s: %s\n", i == 0 ? "HELLO" : "OPEN", header->flags & MESSAGE_REFUSED ? "refused" : "granted");
	}
	return EXIT_SUCCESS;
}

/* ---- a user with many uids ---- */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		verdict_die(path);
	close(fd);
}

/* As uid UID of the namespace: tells RESULTS how many connections are let in, and keeps them. */
static void connect_as(uid_t uid, int each, int results)
{
	int let_in = 0;

	if (setresuid(uid, uid, uid) < 0)
		verdict_die("setresuid");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < each; i++)
		let_in += raw_hello(raw_connect(), RAW_PATIENCE_MS) == 0;
	if (write(results, &let_in, sizeof let_in) < 0)
		_exit(EXIT_FAILURE);
	pause();
	_exit(EXIT_SUCCESS);
}

/* The first process of the namespace. */
static void crowd(uid_t owner, int count, int each, int mapped, int results)
{
	char go;

	if (setresgid(owner, owner, owner) < 0 || setresuid(owner, owner, owner) < 0 || unshare(CLONE_NEWUSER) < 0 ||
		write(results, &go, 1) < 0 || read(mapped, &go, 1) < 0)
		verdict_die("a user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i <= count; i++) {
		if (fork() == 0)
			connect_as((uid_t)i, each, results);
	}
	pause();
}

static int uids(uid_t owner, unsigned int first, int count, int each)
{
	int mapped[2], results[2], all = 0, let_in;
	char text[64], path[64], go = 0;
	pid_t pid;

	if (pipe(mapped) < 0 || pipe(results) < 0)
		verdict_die("pipe");
	pid = fork();
	if (pid == 0)
		crowd(owner, count, each, mapped[0], results[1]);
	if (read(results[0], &go, 1) < 0)
		verdict_die("read");
	snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
	snprintf(text, sizeof text, "0 %u 1\n1 %u %d\n", owner, first, count);
	put(path, text);
	if (write(mapped[1], &go, 1) < 0)
		verdict_die("write");
	for (int i = 0; i < count && read(results[0], &let_in, sizeof let_in) == sizeof let_in; i++)
		all += let_in;
	printf("let in: %d\n", all);
	wait_for_go();
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "reaped") == 0)
		return reaped(argv[2]);
	if (argc == 6 && strcmp(argv[1], "uids") == 0)
		return uids((uid_t)atoi(argv[2]), (unsigned int)atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	fputs("impostor reaped DEVICE, impostor uids OWNER FIRST COUNT EACH\n", stderr);
	return EXIT_FAILURE;
}
