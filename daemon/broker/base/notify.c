/* SPDX-License-Identifier: MIT */
#include "base/notify.h"

#include "base/limits.h"
#include "base/loop.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define FDS_MAX 4 /* of one message */

/* Owned by the queue, with the descriptors. */
struct message {
	TAILQ_ENTRY(message) in_queue;
	int fds[FDS_MAX];
	size_t count;
	char state[];
};

static TAILQ_HEAD(message_queue, message) queue = TAILQ_HEAD_INITIALIZER(queue);
static size_t kept;
static int notify_fd = -1;
static sd_event *loop;
static sd_event_source *retry_timer, *watchdog_timer;
static uint64_t watchdog_us; /* between two messages */
static bool is_reported;     /* that PID 1 is not told, since the last message that PID 1 got */

/* ---- one message ---- */

/* $NOTIFY_SOCKET: a path, or an abstract name after "@". Returns the length of the address, or 0. */
static socklen_t address_of(const char *name, struct sockaddr_un *address)
{
	size_t length = name ? strlen(name) : 0;

	if (length < 2 || length >= sizeof address->sun_path || (*name != '/' && *name != '@'))
		return 0;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, name, length);
	if (*name == '@')
		address->sun_path[0] = '\0';
	else
		length++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Returns 0, -ENOENT without $NOTIFY_SOCKET, or another negative errno. Never waits. */
static int send_now(const char *state, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {0};
	struct sockaddr_un address;
	struct iovec iov = {(char *)state, strlen(state)};
	struct msghdr header = {.msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1};

	header.msg_namelen = address_of(getenv("NOTIFY_SOCKET"), &address);
	if (header.msg_namelen == 0)
		return -ENOENT;
	if (notify_fd < 0)
		notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify_fd < 0)
		return -errno;
	if (count > 0) {
		struct cmsghdr *rights = &control.align;

		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
	}
	if (sendmsg(notify_fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	is_reported = false;
	return 0;
}

/* Whether time helps. ETOOMANYREFS: PID 1 has not taken the descriptors of so many messages. */
static bool is_full(int result)
{
	return result == -EAGAIN || result == -ENOBUFS || result == -ENOMEM || result == -ETOOMANYREFS;
}

/* ---- the queue ---- */

static void message_free(struct message *message)
{
	for (size_t i = 0; i < message->count; i++)
		close(message->fds[i]);
	free(message);
}

static void drop(struct message *message)
{
	TAILQ_REMOVE(&queue, message, in_queue);
	kept--;
	message_free(message);
}

static bool keep(const char *state, const int *fds, size_t count)
{
	size_t size = strlen(state) + 1;
	struct message *message = kept < NOTIFY_KEPT_MAX ? malloc(sizeof *message + size) : NULL;

	if (!message)
		return false;
	memcpy(message->state, state, size);
	message->count = 0;
	while (message->count < count) {
		int fd = fcntl(fds[message->count], F_DUPFD_CLOEXEC, 3);

		if (fd < 0) {
			message_free(message);
			return false;
		}
		message->fds[message->count++] = fd;
	}
	TAILQ_INSERT_TAIL(&queue, message, in_queue);
	kept++;
	return true;
}

static void report(int result)
{
	if (result == -ENOENT || is_reported)
		return;
	log_line(LOG_WARNING, "systemd is not told (%s): a restart would end connections that were to be kept",
		strerror(-result));
	is_reported = true;
}

/* Sends what there is room for. */
static void flush(void)
{
	struct message *message;

	while ((message = TAILQ_FIRST(&queue))) {
		int r = send_now(message->state, message->fds, message->count);

		if (is_full(r))
			return;
		if (r < 0)
			report(r);
		drop(message);
	}
}

static int on_retry(sd_event_source *source, uint64_t now, void *userdata);

static void arm(void)
{
	if (loop && !TAILQ_EMPTY(&queue) && loop_timer(loop, &retry_timer, NOTIFY_RETRY_US, on_retry, NULL) < 0)
		log_line(LOG_ERR, "out of memory: systemd is told with the next message");
}

static int on_retry(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	(void)userdata;
	flush();
	arm();
	return 0;
}

/* The line FDNAME= of STATE up to its end, or NULL. */
static const char *name_of(const char *state, size_t *ret_length)
{
	const char *name = strstr(state, "\nFDNAME=");

	if (name)
		*ret_length = strcspn(name + 1, "\n") + 1;
	return name;
}

/* PID 1 is not to get a descriptor only to drop it. The copy would keep the other end waiting for a hang-up, too. */
static void take_back(const char *state)
{
	size_t length, other_length;
	const char *name = name_of(state, &length);
	struct message *message, *next;

	for (message = TAILQ_FIRST(&queue); name && message; message = next) {
		const char *other = name_of(message->state, &other_length);

		next = TAILQ_NEXT(message, in_queue);
		if (other && other_length == length && strncmp(name, other, length) == 0)
			drop(message);
	}
}

bool notify_send(const char *state, const int *fds, size_t count)
{
	bool is_kept;
	int r;

	if (count > FDS_MAX)
		return false;
	flush();
	if (strncmp(state, "FDSTOREREMOVE=1", strlen("FDSTOREREMOVE=1")) == 0)
		take_back(state);
	r = TAILQ_EMPTY(&queue) ? send_now(state, fds, count) : -EAGAIN;
	if (!is_full(r)) {
		if (r < 0)
			report(r);
		return r == 0;
	}
	is_kept = keep(state, fds, count);
	if (!is_kept)
		report(r);
	else if (kept == 1)
		log_line(LOG_NOTICE, "systemd does not read what it is told; its messages wait here");
	arm();
	return is_kept;
}

size_t notify_kept(void)
{
	return kept;
}

/* ---- watchdog ---- */

#define WATCHDOG_MESSAGE "WATCHDOG=1"

/* One such message that waits is enough: PID 1 counts from the time of the reading. */
static bool watchdog_is_kept(void)
{
	const struct message *message;

	TAILQ_FOREACH(message, &queue, in_queue)
	{
		if (strcmp(message->state, WATCHDOG_MESSAGE) == 0)
			return true;
	}
	return false;
}

static int on_watchdog(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	(void)userdata;
	if (!watchdog_is_kept())
		notify_send(WATCHDOG_MESSAGE, NULL, 0);
	return loop_timer(loop, &watchdog_timer, watchdog_us, on_watchdog, NULL);
}

int notify_begin(sd_event *event)
{
	uint64_t limit_us = 0;

	loop = event;
	arm();
	/* The unit's limit is reached only if two messages in a row are late. */
	if (sd_watchdog_enabled(0, &limit_us) <= 0)
		return 0;
	watchdog_us = limit_us / 2;
	return loop_timer(loop, &watchdog_timer, watchdog_us, on_watchdog, NULL);
}

void notify_end(void)
{
	struct message *message;

	flush();
	while ((message = TAILQ_FIRST(&queue)))
		drop(message);
	retry_timer = sd_event_source_disable_unref(retry_timer);
	watchdog_timer = sd_event_source_disable_unref(watchdog_timer);
	loop = NULL;
	if (notify_fd >= 0)
		close(notify_fd);
	notify_fd = -1;
}
