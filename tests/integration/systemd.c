/* SPDX-License-Identifier: MIT */
#include "systemd.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEPT_MAX 256

static struct kept {
	char name[64];
	int fd;
	bool polled;
} kept[KEPT_MAX];
static size_t kept_count;
static unsigned int changes; /* of what is in kept */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static int listener = -1, ending = -1;
static char notify_path[128];
static bool deaf; /* no thread runs */

static void forget(size_t i)
{
	changes++;
	close(kept[i].fd);
	kept[i] = kept[--kept_count];
}

/* The value of KEY in MESSAGE, lines of KEY=VALUE, in VALUE; "" if it is not there. */
static void value_of(const char *message, const char *key, char value[64])
{
	const char *at = strstr(message, key);

	value[0] = '\0';
	if (at)
		snprintf(value, 64, "%.*s", (int)strcspn(at + strlen(key), "\n"), at + strlen(key));
}

static void on_message(const char *message, const int *fds, size_t count)
{
	char name[64], poll_it[64];

	value_of(message, "FDNAME=", name);
	value_of(message, "FDPOLL=", poll_it);
	for (size_t i = kept_count; strstr(message, "FDSTOREREMOVE=1") && i > 0; i--) {
		if (strcmp(kept[i - 1].name, name) == 0)
			forget(i - 1);
	}
	for (size_t i = 0; i < count; i++) {
		if (!strstr(message, "FDSTORE=1") || kept_count == KEPT_MAX) {
			close(fds[i]);
			continue;
		}
		changes++;
		kept[kept_count] = (struct kept){.fd = fds[i], .polled = strcmp(poll_it, "0") != 0};
		strcpy(kept[kept_count++].name, name);
	}
}

static void receive(void)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control;
	char message[1024] = "";
	struct iovec iov = {message, sizeof message - 1};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
	int fds[16];
	size_t count = 0;

	header.msg_controllen = sizeof control.bytes;
	if (recvmsg(listener, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	}
	on_message(message, fds, count);
}

static void drop_hung_up(const struct pollfd *slots, size_t count)
{
	/* From the end, because the last takes the place of one that goes. */
	for (size_t i = count; i > 0; i--) {
		if (kept[i - 1].polled && (slots[i - 1].revents & (POLLHUP | POLLERR)))
			forget(i - 1);
	}
}

static void *serve(void *argument)
{
	struct pollfd slots[KEPT_MAX + 2];

	(void)argument;
	for (;;) {
		unsigned int before;
		size_t count;

		pthread_mutex_lock(&lock);
		before = changes;
		count = kept_count;
		for (size_t i = 0; i < count; i++)
			slots[i] = (struct pollfd){kept[i].polled ? kept[i].fd : -1, 0, 0};
		pthread_mutex_unlock(&lock);
		slots[count] = (struct pollfd){listener, POLLIN, 0};
		slots[count + 1] = (struct pollfd){ending, POLLIN, 0};
		if (poll(slots, count + 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (slots[count + 1].revents)
			return NULL;
		pthread_mutex_lock(&lock);
		/* The test may have come in between. */
		if (changes == before)
			drop_hung_up(slots, count);
		if (slots[count].revents)
			receive();
		pthread_mutex_unlock(&lock);
	}
}

void systemd_stop_reading(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	pthread_mutex_lock(&lock);
	deaf = true;
	eventfd_write(ending, 1);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	strcpy(address.sun_path, notify_path);
	while (sendto(fd, "STATUS=full", 11, 0, (struct sockaddr *)&address, sizeof address) > 0)
		continue;
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

void systemd_read_on(void)
{
	eventfd_t value;

	deaf = false;
	eventfd_read(ending, &value);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
}

void systemd_start(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(notify_path, sizeof notify_path, "%s", path);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	kept_count = 0;
	ending = eventfd(0, EFD_CLOEXEC);
	listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
}

void systemd_end(void)
{
	if (listener < 0)
		return;
	if (!deaf) {
		eventfd_write(ending, 1);
		pthread_join(thread, NULL);
	}
	deaf = false;
	systemd_drop();
	close(listener);
	close(ending);
	listener = ending = -1;
}

size_t systemd_kept(const char *name)
{
	size_t count = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < kept_count; i++)
		count += strncmp(kept[i].name, name, strlen(name)) == 0;
	pthread_mutex_unlock(&lock);
	return count;
}

void systemd_keep(const char *name, int fd)
{
	pthread_mutex_lock(&lock);
	assert_true(kept_count < KEPT_MAX);
	changes++;
	kept[kept_count] = (struct kept){.fd = fd};
	strcpy(kept[kept_count++].name, name);
	pthread_mutex_unlock(&lock);
}

void systemd_drop(void)
{
	pthread_mutex_lock(&lock);
	while (kept_count > 0)
		forget(0);
	pthread_mutex_unlock(&lock);
}

pid_t systemd_fork(void)
{
	pid_t pid;

	/* PID 1 reads what a service has said before it is told that the service has died. */
	pthread_mutex_lock(&lock);
	while (!deaf && poll(&(struct pollfd){listener, POLLIN, 0}, 1, 0) > 0)
		receive();
	pid = fork();
	pthread_mutex_unlock(&lock);
	return pid;
}

void systemd_pass(int passed_listener, char *variables[SYSTEMD_VARIABLES_MAX])
{
	static char notify[160], pid[32], count[32], names[KEPT_MAX * 65 + 64] = "LISTEN_FDNAMES=broker.socket";
	int high[KEPT_MAX + 1], n = (int)kept_count;

	high[0] = fcntl(passed_listener, F_DUPFD_CLOEXEC, 3 + KEPT_MAX + 1);
	for (int i = 0; i < n; i++)
		high[i + 1] = fcntl(kept[i].fd, F_DUPFD_CLOEXEC, 3 + KEPT_MAX + 1);
	for (int i = 0; i <= n; i++)
		dup2(high[i], 3 + i);
	for (int i = 0; i < n; i++) {
		strcat(names, ":");
		strcat(names, kept[i].name);
	}
	snprintf(notify, sizeof notify, "NOTIFY_SOCKET=%s", notify_path);
	snprintf(pid, sizeof pid, "LISTEN_PID=%d", (int)getpid());
	snprintf(count, sizeof count, "LISTEN_FDS=%d", n + 1);
	variables[0] = notify;
	variables[1] = pid;
	variables[2] = count;
	variables[3] = names;
	variables[4] = NULL;
}
