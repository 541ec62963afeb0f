/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "verdict.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void peer_start(struct peer *ret, void (*body)(int socket))
{
	int ends[2];

	fflush(stdout);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		verdict_die("socketpair");
	ret->pid = fork();
	if (ret->pid < 0)
		verdict_die("fork");
	if (ret->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(ends[1], 3) < 0 || close_range(4, ~0U, 0) < 0)
			_exit(99);
		body(3);
		_exit(0);
	}
	close(ends[1]);
	ret->socket = ends[0];
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

void peer_send(int socket, long word, int fd)
{
	union control control = {{0}};
	struct iovec part = {&word, sizeof word};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control;
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != sizeof word)
		verdict_die("sending to the other process");
}

long peer_receive(int socket, int *ret_fd)
{
	long word = 0;
	union control control = {{0}};
	struct iovec part = {&word, sizeof word};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
	ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	if (size != sizeof word || (ret_fd != NULL) != (message.msg_controllen > 0)) {
		errno = size < 0 ? errno : EPROTO;
		verdict_die("the other process has ended early");
	}
	if (ret_fd)
		memcpy(ret_fd, CMSG_DATA(&control.align), sizeof *ret_fd);
	return word;
}

long peer_ask(const struct peer *peer, long word, int fd)
{
	peer_send(peer->socket, word, fd);
	return peer_receive(peer->socket, NULL);
}

int peer_end(struct peer *peer)
{
	int status;

	close(peer->socket);
	if (waitpid(peer->pid, &status, 0) != peer->pid)
		verdict_die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void peer_kill(struct peer *peer)
{
	kill(peer->pid, SIGKILL);
	peer_end(peer);
}
