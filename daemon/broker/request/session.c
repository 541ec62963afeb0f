/* SPDX-License-Identifier: MIT */
#include "request/session.h"

#include "audit/audit.h"
#include "audit/watch.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/store.h"
#include "clock.h"
#include "lease/grant.h"
#include "lease/group.h"
#include "lease/lease.h"
#include "lease/quarantine.h"
#include "lease/quota.h"
#include "log.h"
#include "request/admission.h"
#include "request/policy_report.h"
#include "request/release.h"
#include "request/report.h"
#include "request/revocation.h"
#include "service/recall.h"
#include "state/idle.h"
#include "state/inventory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT, "channel_events() speaks poll, sd-event epoll");

/* ---- OPEN ---- */

static void stop_waiting(struct session *session)
{
	if (!session->waiting_for)
		return;
	TAILQ_REMOVE(&session->waiting_for->waiters, session, waiting);
	session->waiting_for = NULL;
}

/* Waits for the group of a device that is just being released; the first look sets the time limit. */
static int wait_for_group(struct session *session, struct group *group)
{
	session->waiting_for = group;
	TAILQ_INSERT_TAIL(&group->waiters, session, waiting);
	return CHANNEL_LATER;
}

/* Whoever may have the device may also find out that it does not answer. */
static void quarantine_if_silent(struct broker *broker, struct device *device, const struct admission *admission)
{
	if (admission->silent && device->group && admission->rule && admission->rule->verdict == POLICY_ALLOW)
		quarantine_look(broker, device);
}

/* Returns as a channel handler does. */
static int open_device(struct session *session, struct detail *detail)
{
	struct broker *broker = session->broker;
	struct device *device = inventory_find(&broker->inventory, session->opening);
	struct admission admission;

	if (broker->stopping)
		return refuse(detail, REFUSAL_NO_KEEPER, "the service is stopping");
	if (device && device->group && device->group->state == GROUP_RECALLED)
		return wait_for_group(session, device->group);
	if (recall_was_opened(session, device))
		return CHANNEL_ANSWERED;
	admission_check(broker, session, session->opening, &admission);
	quarantine_if_silent(broker, device, &admission);
	if (admission.passing && loop_now(broker->event) - session->wait_began_us < OPEN_WAIT_US)
		return wait_for_group(session, device->group);
	if (admission.count > 0) {
		*detail = admission.obstacles[0].detail;
		return admission.obstacles[0].refusal;
	}
	return lease_open(broker, session, device, admission.rule, detail);
}

/* RESULT as a handler returns it; the detail has said it to the client. */
static void record_denial(struct session *session, int result, const struct detail *detail)
{
	struct audit_event event = audit_of_session(CHANGE_DENIAL, session);
	char who[128];

	event.device = session->opening;
	event.refusal = result;
	audit_record(session->broker, &event, "%s refused to %s: %s%s%s", session->opening,
		peer_text(&session->peer, who, sizeof who), refusal_name(result < 0 ? REFUSAL_FAILED : result),
		detail->text[0] ? ": " : "", detail->text);
}

static int on_open(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct open_request *open = (const void *)request->payload;
	struct session *session = context;
	int r;

	(void)reply;
	session->broker->counters.opens++;
	memcpy(session->opening, open->name, sizeof session->opening);
	session->opening_cookie = request->header.cookie;
	session->wait_began_us = loop_now(session->broker->event);
	r = open_device(session, detail);
	if (r != CHANNEL_LATER && r != CHANNEL_ANSWERED)
		record_denial(session, r, detail);
	return r;
}

static int on_check(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	const struct check_request *check = (const void *)request->payload;
	struct session *session = context;
	struct admission admission;
	struct check_reply *answer;

	(void)detail;
	admission_check(session->broker, session, check->name, &admission);
	quarantine_if_silent(session->broker, inventory_find(&session->broker->inventory, check->name), &admission);
	answer = packet_append(reply, sizeof *answer);
	answer->count = (uint32_t)admission.count;
	answer->claim = admission.claim;
	for (size_t i = 0; i < admission.count; i++) {
		struct check_obstacle *obstacle = packet_append(reply, sizeof *obstacle);

		obstacle->refusal = (uint32_t)admission.obstacles[i].refusal;
		memcpy(obstacle->detail, admission.obstacles[i].detail.text, sizeof obstacle->detail);
	}
	return 0;
}

static const channel_handler handlers[BROKER_TYPE_MAX] = {
	[BROKER_LIST] = report_devices,
	[BROKER_CHECK] = on_check,
	[BROKER_OPEN] = on_open,
	[BROKER_STATUS] = report_status,
	[BROKER_SESSIONS] = report_sessions,
	[BROKER_LEASES] = report_leases,
	[BROKER_REVOKE] = revocation_serve,
	[BROKER_RELEASE] = release_serve,
	[BROKER_WATCH] = watch_begin,
	[BROKER_POLICY] = policy_report_rules,
	[BROKER_EXPLAIN] = policy_report_explain,
};

static const struct channel_service service = {.table = &broker_table, .handlers = handlers};

/* ---- the channel ---- */

/* Tells the event loop what the channel waits for now. */
static void rearm(struct session *session)
{
	short events = channel_events(&session->channel) | watch_events(session);

	if (events == session->events)
		return;
	session->events = events;
	if (lane_wait(&session->place, (uint32_t)events) < 0)
		session_close(session);
}

/* After an answer: a channel that cannot be written to is at its end. */
static void answered(struct session *session, int r)
{
	if (r < 0)
		session_close(session);
	else
		rearm(session);
}

static void count(struct broker *broker, struct session *session, uint64_t requests, uint64_t refusals)
{
	broker->counters.requests += session->channel.requests - requests;
	broker->counters.refusals += session->channel.refusals - refusals;
}

/* Serves one request, or goes on with an answer. */
static void serve(void *owner, uint32_t events)
{
	struct session *session = owner;
	struct broker *broker = session->broker;
	uint64_t requests = session->channel.requests, refusals = session->channel.refusals;
	struct audit_event event;
	char who[128];
	int r;

	watch_catch_up(session);
	/* While an answer is owed nothing is read; a hang-up then ends the session with what may be queued. */
	if (session->channel.deferred) {
		if (events & (EPOLLHUP | EPOLLERR))
			session_close(session);
		else
			rearm(session);
		return;
	}
	r = channel_serve(&session->channel, &service, session, &broker->buffers);
	count(broker, session, requests, refusals);
	if (r == CHANNEL_OPEN) {
		rearm(session);
		return;
	}
	if (r == CHANNEL_BROKEN) {
		broker->counters.malformed++;
		event = audit_of_session(CHANGE_DENIAL, session);
		event.refusal = REFUSAL_MALFORMED;
		audit_record(broker, &event, "%s broke the protocol and is disconnected",
			peer_text(&session->peer, who, sizeof who));
	}
	session_close(session);
}

static void session_store(struct session *session)
{
	struct broker *broker = session->broker;
	struct user *user = session->user;

	if (session->stored || broker->sessions_stored >= SESSIONS_STORED_MAX ||
		user->sessions > SESSIONS_STORED_PER_USER)
		return;
	/* One with a device is worth more than one that may be gone in a moment, and leases take longer than this. */
	if (LIST_EMPTY(&session->leases) && rate_wait(&user->stores, STORES_PER_MINUTE, loop_now(broker->event)) > 0)
		return;
	session->stored = store_session(session->channel.fd, session->id, session->born);
	if (!session->stored)
		return;
	rate_take(&user->stores, STORES_PER_MINUTE, loop_now(broker->event));
	broker->sessions_stored++;
}

void session_opened(struct session *session, struct lease *lease)
{
	struct packet *reply = &session->broker->buffers.reply;
	struct open_reply *answer;

	session_store(session);
	packet_reply(reply, &session->channel.awaiting);
	answer = packet_append(reply, sizeof *answer);
	answer->group = lease->device->group->number;
	fdset_add(&reply->fds, lease->channel);
	lease->channel = -1;
	answered(session, channel_answer(&session->channel, 0, reply, NULL));
}

void session_answer(struct session *session, struct packet *reply)
{
	answered(session, channel_answer(&session->channel, 0, reply, NULL));
}

void session_refused(struct session *session, int result, const struct detail *detail)
{
	session->broker->counters.refusals++;
	record_denial(session, result, detail);
	answered(session, channel_answer(&session->channel, result, &session->broker->buffers.reply, detail));
}

void session_open_again(struct session *session)
{
	struct detail detail = {0};
	int r;

	session->waiting_for = NULL;
	r = open_device(session, &detail);
	if (r == CHANNEL_ANSWERED)
		answered(session, channel_answer(&session->channel, r, &session->broker->buffers.reply, NULL));
	else if (r != CHANNEL_LATER)
		session_refused(session, r, &detail);
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
	channel_keep(&session->channel);
	session->broker = broker;
	session->peer = *peer;
	session->user = user;
	session->id = ++broker->last_session;
	session->since_us = loop_now(broker->event);
	session->born = clock_us_of(CLOCK_BOOTTIME);
	session->events = POLLIN;
	LIST_INIT(&session->leases);
	LIST_INSERT_HEAD(&broker->sessions, session, in_broker);
	broker->sessions_count++;
	return session;
}

static void begin(struct session *session)
{
	if (lane_enter(&session->user->lane, session->broker->event, &session->place, session->channel.fd, serve,
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
	/* Before its groups and its unit are looked up, which takes longer than all the rest: who has too many is soon gone. */
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
	/* Before its first request is read: from then on somebody waits for an answer. */
	session_store(session);
	begin(session);
}

void session_recall(struct broker *broker, const struct stored *stored)
{
	struct session *session;
	struct user *user;
	struct peer peer;
	uint64_t age, last = broker->last_session;
	int r = peer_identify_again(stored->fd, stored->born, &peer);

	/* No limit: what was granted stays granted. */
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
	age = session->born - stored->born;
	/* A machine that has slept has a monotonic clock that is younger than the session. */
	session->since_us = age < session->since_us ? session->since_us - age : 0;
	session->born = stored->born;
	session->id = stored->session;
	session->channel.state = STATE_READY;
	session->stored = true;
	session->found_asking = poll(&(struct pollfd){.fd = stored->fd, .events = POLLIN}, 1, 0) > 0;
	broker->sessions_stored++;
	broker->last_session = session->id > last ? session->id : last;
	watch_recall(session);
	begin(session);
}

void session_close(struct session *session)
{
	struct broker *broker = session->broker;
	struct lease *lease;

	stop_waiting(session);
	revocation_forget(session);
	watch_end(session);
	lane_leave(&session->place);
	/* systemd drops its copy when it sees that the socket is shut down. */
	channel_finish(&session->channel, &broker->buffers.request);
	broker->sessions_stored -= session->stored;
	while ((lease = LIST_FIRST(&session->leases))) {
		struct group *group = lease->device->group;

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
		broker_idle(broker);
}
