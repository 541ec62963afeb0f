/* SPDX-License-Identifier: MIT */
#include "request/session.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "audit/watch.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/store.h"
#include "clock.h"
#include "lease/group.h"
#include "lease/lease.h"
#include "lease/quota.h"
#include "log.h"
#include "state/idle.h"
#include "state/waiter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT, "channel_events() speaks poll, sd-event epoll");

/* The socket is broken. serve() ends the session when the loop reports the shutdown, so a handler that works on a
 * request of any session at the moment can go on with its packet and its session. */
static void fail(struct session *session)
{
	session->failed = true;
	shutdown(session->channel.fd, SHUT_RDWR);
}

/* Tells the event loop which events the channel waits for now. */
static void rearm(struct session *session)
{
	short events = channel_events(&session->channel) | watch_events(session);

	if (fair_queue_wait(&session->place, (uint32_t)events) < 0)
		fail(session);
}

void session_answer(struct session *session, int result, struct packet *reply, const struct detail *detail)
{
	uint64_t refusals = session->channel.refusals;
	/* A failed write ends the channel. */
	int r = channel_answer(&session->channel, result, reply, detail);

	session->broker->counters.refusals += session->channel.refusals - refusals;
	if (r < 0)
		fail(session);
	else
		rearm(session);
}

static void count(struct broker *broker, struct session *session, uint64_t requests, uint64_t refusals)
{
	broker->counters.requests += session->channel.requests - requests;
	broker->counters.refusals += session->channel.refusals - refusals;
}

static void record_broken(struct session *session)
{
	struct audit_event event = audit_of_session(CHANGE_DENIAL, session);
	char who[128];

	session->broker->counters.malformed++;
	event.refusal = REFUSAL_MALFORMED;
	audit_record(session->broker, &event, "%s broke the protocol and is disconnected",
		peer_text(&session->peer, who, sizeof who));
}

/* Serves one request, or goes on with an answer. No other function ends a session while the service runs. */
static void serve(void *owner, uint32_t events)
{
	struct session *session = owner;
	struct broker *broker = session->broker;
	uint64_t requests = session->channel.requests, refusals = session->channel.refusals;
	int r;

	if (session->failed) {
		session_close(session);
		return;
	}
	watch_catch_up(session);
	/* While an answer is owed nothing is read; a hang-up then ends the session, and queued requests with the
	 * session. */
	if (session->channel.deferred) {
		if (events & (EPOLLHUP | EPOLLERR))
			session_close(session);
		else
			rearm(session);
		return;
	}
	r = channel_serve(&session->channel, broker->requests, session, &broker->buffers);
	count(broker, session, requests, refusals);
	if (r == CHANNEL_OPEN) {
		rearm(session);
		return;
	}
	if (r == CHANNEL_BROKEN)
		record_broken(session);
	session_close(session);
}

void session_store(struct session *session)
{
	struct broker *broker = session->broker;
	struct user *user = session->user;

	if (session->stored || broker->sessions_stored >= SESSIONS_STORED_MAX ||
		user->sessions > SESSIONS_STORED_PER_USER)
		return;
	/* A session with a device is stored without regard to the rate: a lease costs more time than storing does. A
	 * session without a device may be gone in a moment. */
	if (LIST_EMPTY(&session->leases) && rate_wait(&user->stores, STORES_PER_MINUTE, loop_now(broker->event)) > 0)
		return;
	session->stored = store_session(session->channel.fd, session->id, session->started);
	if (!session->stored)
		return;
	rate_take(&user->stores, STORES_PER_MINUTE, loop_now(broker->event));
	broker->sessions_stored++;
}

/* ---- beginning and end ---- */

/* Sent before any request: a refusal with cookie 0 concerns the whole channel. */
static void turn_away(struct broker *broker, int fd, int result, const struct detail *detail)
{
	const struct message_header none = {.type = BROKER_HELLO};

	broker->counters.refusals++;
	packet_refuse(&broker->buffers.reply, &none, result, detail);
	packet_send(fd, MSG_DONTWAIT, &broker->buffers.reply);
	packet_clear(&broker->buffers.reply);
	close(fd);
}

static void record_turned_away(struct broker *broker, const struct peer *peer, int result, const struct detail *detail)
{
	struct audit_event event = {.kind = CHANGE_DENIAL, .refusal = result};
	char who[128];

	peer_record(peer, &event.who);
	audit_record(broker, &event, "connection of %s refused: %s%s%s", peer_text(peer, who, sizeof who),
		refusal_name(result < 0 ? REFUSAL_FAILED : result), detail->text[0] ? ": " : "", detail->text);
}

static int admit(struct broker *broker, const struct peer *peer, struct user **ret_user, struct detail *detail)
{
	if (broker->sessions_count >= broker->sessions_max)
		return refuse(detail, REFUSAL_QUOTA, "the service has %u sessions, as many as it can (LimitNOFILE=)",
			broker->sessions_count);
	return quota_session(broker, peer->uid, ret_user, detail);
}

/* Takes FD, PEER and the charge on USER, on failure too. */
static struct session *session_new(struct broker *broker, int fd, struct peer *peer, struct user *user)
{
	struct session *session = calloc(1, sizeof *session);

	if (!session) {
		user_refund_session(&broker->users, user);
		peer_clear(peer);
		close(fd);
		return NULL;
	}
	channel_init(&session->channel, fd);
	channel_keep_requests(&session->channel);
	session->broker = broker;
	session->peer = *peer;
	session->user = user;
	session->id = ++broker->last_session;
	session->since_us = loop_now(broker->event);
	session->started = clock_us_of(CLOCK_BOOTTIME);
	LIST_INIT(&session->leases);
	LIST_INSERT_HEAD(&broker->sessions, session, in_broker);
	broker->sessions_count++;
	return session;
}

static void begin(struct session *session)
{
	if (fair_queue_enter(&session->user->queue, session->broker->event, &session->place, session->channel.fd, serve,
		    session) < 0)
		session_close(session);
}

void session_accept(struct broker *broker, int fd)
{
	struct detail detail = {0};
	struct session *session;
	struct user *user;
	struct peer peer;
	int r = peer_credentials(fd, &peer);

	if (r < 0) {
		turn_away(broker, fd, r, NULL);
		return;
	}
	/* Comes before the lookup of the peer's groups and unit, the slowest step of all: a user with too many
	 * sessions is soon turned away. */
	r = admit(broker, &peer, &user, &detail);
	if (r != 0) {
		record_turned_away(broker, &peer, r, &detail);
		turn_away(broker, fd, r, &detail);
		return;
	}
	r = peer_complete(fd, &peer);
	if (r < 0) {
		user_refund_session(&broker->users, user);
		turn_away(broker, fd, r, NULL);
		return;
	}
	session = session_new(broker, fd, &peer, user);
	if (!session)
		return;
	/* Comes before the first request is read: from then on the client waits for an answer. */
	session_store(session);
	begin(session);
}

void session_adopt(struct broker *broker, const struct stored *stored)
{
	struct session *session;
	struct user *user;
	struct peer peer;
	uint64_t age, last = broker->last_session;
	int r = peer_identify_again(stored->fd, stored->started, &peer);

	/* No limit: an earlier broker admitted the session, and a grant stays. */
	if (r == 0)
		r = user_charge_session(&broker->users, peer.uid, UINT32_MAX, &user);
	if (r < 0) {
		log_line(LOG_ERR, "a session of an earlier broker is lost: %s", strerror(-r));
		shutdown(stored->fd, SHUT_RDWR);
		close(stored->fd);
		return;
	}
	session = session_new(broker, stored->fd, &peer, user);
	if (!session)
		return;
	age = session->started - stored->started;
	/* The monotonic clock does not count sleep: after a suspend the clock may be younger than the session. */
	session->since_us = age < session->since_us ? session->since_us - age : 0;
	session->started = stored->started;
	session->id = stored->session;
	channel_enter(&session->channel, STATE_READY);
	session->stored = true;
	session->found_asking = poll(&(struct pollfd){.fd = stored->fd, .events = POLLIN}, 1, 0) > 0;
	broker->sessions_stored++;
	broker->last_session = session->id > last ? session->id : last;
	watch_adopt(session);
	begin(session);
}

bool session_may_repeat(const struct session *session)
{
	/* A request leaves the socket with its answer, and in order: only the first request can be answered and
	 * still there. */
	return session->found_asking && session->channel.requests == 1;
}

bool session_is_hung_up(const struct session *session)
{
	struct pollfd end = {.fd = session->channel.fd};

	return poll(&end, 1, 0) == 1 && (end.revents & (POLLHUP | POLLERR));
}

void session_close(struct session *session)
{
	struct broker *broker = session->broker;
	struct lease *lease;

	waiter_cancel(session);
	watch_end(session);
	fair_queue_leave(&session->place);
	/* systemd drops its copy of the socket when systemd sees the shutdown. */
	channel_finish(&session->channel, &broker->buffers.request);
	broker->sessions_stored -= session->stored;
	while ((lease = LIST_FIRST(&session->leases))) {
		struct iommu_group *group = lease->device->group;

		lease_orphan(lease);
		group_release(group);
	}
	assert(session->leases_count == 0);
	LIST_REMOVE(session, in_broker);
	broker->sessions_count--;
	user_refund_session(&broker->users, session->user);
	peer_clear(&session->peer);
	free(session);
	if (broker->sessions_count == 0)
		idle_arm(broker);
}
