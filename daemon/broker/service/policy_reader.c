/* SPDX-License-Identifier: MIT */
#include "service/policy_reader.h"

#include "base/limits.h"
#include "base/loop.h"
#include "clock.h"
#include "connection.h"
#include "fdset.h"
#include "packet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct policy_reader *reader = userdata;

	(void)source;
	(void)events;
	policy_stream_receive(&reader->stream, fd, &reader->broker->buffers.request);
	if (policy_stream_ended(&reader->stream))
		reader->ended(reader->context, reader);
	return 0;
}

int policy_reader_begin(
	struct broker *broker, void (*ended)(void *context, struct policy_reader *reader), void *context)
{
	OWNED_FD fd = connection_open(broker->options->policy_socket, SOCK_SEQPACKET);
	struct policy_reader *reader, *older;
	int r;

	if (fd < 0)
		return fd;
	reader = calloc(1, sizeof *reader);
	if (!reader)
		return -ENOMEM;
	*reader = (struct policy_reader){
		.broker = broker, .since_us = loop_now(broker->event), .ended = ended, .context = context};
	r = sd_event_add_io(broker->event, &reader->io, fd, EPOLLIN, on_io, reader);
	/* Before clients, some of which wait for the policy. */
	if (r >= 0)
		r = sd_event_source_set_priority(reader->io, SD_EVENT_PRIORITY_IMPORTANT);
	if (r < 0) {
		sd_event_source_disable_unref(reader->io);
		free(reader);
		return r;
	}
	sd_event_source_set_io_fd_own(reader->io, 1);
	fd_take(&fd);
	LIST_FOREACH(older, &broker->policy_readers, in_broker)
		older->is_superseded = true;
	LIST_INSERT_HEAD(&broker->policy_readers, reader, in_broker);
	return 0;
}

void policy_reader_hangs(struct policy_reader *reader)
{
	reader->hangs = true;
}

void policy_reader_free(struct policy_reader *reader)
{
	LIST_REMOVE(reader, in_broker);
	/* systemd has a copy of the other end, so a close would not be seen there. */
	shutdown(sd_event_source_get_io_fd(reader->io), SHUT_RDWR);
	sd_event_source_disable_unref(reader->io);
	policy_stream_clear(&reader->stream);
	free(reader);
}

/* ---- vfio-brokerd --check-policy --policy-socket ---- */

static bool say(const struct policy_stream *stream)
{
	if (!policy_stream_ended(stream)) {
		fprintf(stderr, "the reader of the policy files (pid %u) hangs\n", stream->pid);
		return false;
	}
	if (stream->state != STREAM_DONE) {
		fprintf(stderr, "%s\n", stream->error.text);
		return false;
	}
	for (size_t i = 0; i < stream->policy->warnings.count; i++)
		fprintf(stderr, "%s\n", stream->policy->warnings.words[i]);
	printf("%zu rules\n", stream->policy->count);
	return true;
}

/* Waits for the reader at PATH. Returns 0 and the stream, for policy_stream_clear(), or a negative errno: there is no
 * reader. */
static int ask(const char *path, struct policy_stream *stream)
{
	static struct packet packet;
	OWNED_FD fd = connection_open(path, SOCK_SEQPACKET);
	uint64_t end_us = clock_us() + POLICY_GIVE_UP_US, now_us = 0;

	if (fd < 0)
		return fd;
	packet_init(&packet);
	while (!policy_stream_ended(stream) && (now_us = clock_us()) < end_us) {
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, (int)((end_us - now_us) / 1000) + 1);
		policy_stream_receive(stream, fd, &packet);
	}
	packet_clear(&packet);
	return 0;
}

bool policy_reader_check(const char *path)
{
	struct policy_stream stream = {0};
	int r = ask(path, &stream);
	bool good;

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		return false;
	}
	good = say(&stream);
	policy_stream_clear(&stream);
	return good;
}

bool policy_reader_agrees(const char *path, bool good)
{
	struct policy_stream stream = {0};
	int r = ask(path, &stream);

	if (r == 0 && stream.state == STREAM_MISTAKE && good) {
		fprintf(stderr, "the service itself finds: %s\n", stream.error.text);
		good = false;
	} else if (r == 0 && stream.state == STREAM_DONE && !good) {
		fprintf(stderr, "the service itself finds no mistake, in %zu rules\n", stream.policy->count);
		good = true;
	} else if (r < 0 || (stream.state != STREAM_MISTAKE && stream.state != STREAM_DONE)) {
		/* A mode, an owner or a name of a user may differ inside the root of the service. */
		fprintf(stderr,
			"this is what uid %u sees; whether the service sees the same is not known, because its reader "
			"was not asked%s (%s: %s)\n",
			getuid(), getuid() == 0 ? "" : ", as root does", path,
			r < 0					? strerror(-r)
				: stream.state == STREAM_FAILED ? stream.error.text
								: "it hangs");
	}
	policy_stream_clear(&stream);
	return good;
}
