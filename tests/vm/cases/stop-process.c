/* SPDX-License-Identifier: MIT */
/*
 * stop-process PID [SOCKET]...: stops process PID, which may be systemd itself (1), until this program ends, and fills
 * the queues of its datagram SOCKETs, so that whoever waits for room there waits. Prints "stopped". Root only.
 */
#include "verdict.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SENDERS_MAX 64 /* the buffer of one sender has room for some hundred datagrams, less than a queue */

static void fill(const char *path)
{
	static const char text[] = "MESSAGE=a queue is filled\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned count = 0;

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	for (int i = 0; i < SENDERS_MAX; i++) {
		int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		unsigned before = count;

		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
			verdict_die(path);
		while (send(fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			count++;
		if (count == before)
			break;
	}
	printf("%s: %u datagrams\n", path, count);
}

int main(int argc, char **argv)
{
	pid_t pid = argc > 1 ? (pid_t)atoi(argv[1]) : 0;
	int status;

	if (pid <= 0)
		return 2;
	/* Not SIGSTOP, which systemd ignores as process 1. The kernel lets go of the process when this one ends. */
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 ||
		waitpid(pid, &status, __WALL) != pid)
		verdict_die("stopping the process");
	for (int i = 2; i < argc; i++)
		fill(argv[i]);
	printf("stopped\n");
	fflush(stdout);
	for (;;)
		pause();
}
