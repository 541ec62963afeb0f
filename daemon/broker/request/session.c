/* SPDX-License-Identifier: MIT */
#include "request/session.h"

#include "audit/audit.h"
#include "audit/event.h"
#include "audit/watch.h"
#include "base/loop.h"
#include "channel.h"
#include "clock.h"
#include "fdset.h"
#include "front/front.h"
#include "lease/group.h"
#include "lease/lease.h"
#include "lease/quota.h"
#include "log.h"
#include "state/idle.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

void session_begin_reply(const struct session *session, struct packet *reply)
{
	packet_reply(reply, &(struct message_header){.type = session->asked, .cookie = session->id});
}

void session_answer(struct session *session, int result, struct packet *reply, const struct detail *detail)
{
	const struct message_header request = {.type = session->asked, .cookie = session->id};

	session->deferred = false;
	if (result != 0) {
		session->broker->counters.refusals++;
		packet_refuse(reply, &request, result, detail);
	}
	front_send(session->front, reply);
}

bool session_serve(struct session *session, struct packet *request)
{
	struct broker *broker = session->broker;
	struct packet *reply = &broker->buffers.reply;
	struct detail detail = {0};
	int r;

	if (session->deferred)
		return false;
	session->requests++;
	broker->counters.requests++;
	session->asked = request->header.type;
	if (!session->repeated)
		session->arrived_us = loop_now(broker->event);
	session->repeated = false;
	session->deferred = true;
	session_begin_reply(session, reply);
	r = channel_act(broker->requests, STATE_READY, session, request, reply, &detail);
	fdset_clear(&request->fds);
	if (r != CHANNEL_LATER)
		session_answer(session, r, reply, &detail);
	return true;
}

bool session_was_asked_before(const struct session *session)
{
	return session->arrived_us < session->broker->started_us;
}

bool session_look(struct session *session)
{
	session->looked_at = session->looked_at || front_look(session);
	return session->looked_at;
}

void session_looked_at(struct session *session)
{
	const struct lease *lease;

	if (!session->looked_at)
		return;
	session->looked_at = false;
	/* The groups are held, so nobody who wakes here gets a lease or ends one. */
	LIST_FOREACH(lease, &session->leases, in_session)
		waiter_wake(lease->device->group);
}

void session_count(struct broker *broker, uint64_t requests, uint64_t refusals)
{
	broker->counters.requests += requests;
	broker->counters.refusals += refusals;
}

void session_record_broken(const struct session *session, const char *words)
{
	struct audit_event event = audit_of_session(CHANGE_DENIAL, session);
	char who[128];

	session->broker->counters.malformed++;
	event.refusal = REFUSAL_MALFORMED;
	audit_record(session->broker, &event, "%s %s and is disconnected", peer_text(&session->peer, who, sizeof who),
		words);
}

/* ---- beginning and end ---- */

static void record_turned_away(struct broker *broker, const struct peer *peer, int result, const struct detail *detail)
{
	struct audit_event event = {.kind = CHANGE_DENIAL, .refusal = result};
	char who[128];

	broker->counters.refusals++;
	peer_record(peer, &event.who);
	event.owner = peer->owner;
	audit_record(broker, &event, "connection of %s refused: %s%s%s", peer_text(peer, who, sizeof who),
		refusal_name(result < 0 ? REFUSAL_FAILED : result), detail->text[0] ? ": " : "", detail->text);
}

/* Takes PEER and the charge on USER, on failure too. */
static struct session *session_new(struct broker *broker, struct peer *peer, struct user *user, uint64_t id)
{
	struct session *session = calloc(1, sizeof *session);

	if (!session) {
		user_refund_session(&broker->users, user);
		peer_clear(peer);
		return NULL;
	}
	session->broker = broker;
	session->peer = *peer;
	session->user = user;
	session->id = id;
	session->since_us = loop_now(broker->event);
	session->started = clock_us_of(CLOCK_BOOTTIME);
	LIST_INIT(&session->leases);
	broker->sessions_count++;
	if (broker->last_session < id)
		broker->last_session = id;
	return session;
}

/* For a session that is in no front. */
static void session_free(struct session *session)
{
	struct broker *broker = session->broker;

	broker->sessions_count--;
	user_refund_session(&broker->users, session->user);
	peer_clear(&session->peer);
	free(session->opening);
	free(session);
	if (broker->sessions_count == 0)
		idle_arm(broker);
}

/* The client hears the refusal from a front. */
static bool turn_away(struct broker *broker, int fd, const struct peer *peer, int result, const struct detail *detail)
{
	if (front_turn_away(broker, peer->owner, fd, result, detail) < 0)
		return false;
	record_turned_away(broker, peer, result, detail);
	return true;
}

/* Hands FD over, and looks up only then what may take its time. Returns as session_accept() does. */
static bool begin(struct session *session, int fd, int pidfd)
{
	struct broker *broker = session->broker;
	struct detail detail = {0};
	int r = front_connect(broker, session, fd);
	bool taken;

	if (r == 0) {
		peer_find_unit(&session->peer, pidfd);
		if (session->peer.unit)
			roll_unit(&session->front->roll, session);
		return true;
	}
	if (r == -EDQUOT)
		r = refuse(&detail, REFUSAL_QUOTA,
			"no front can take the connection: those of uid %u do not answer, or all places are taken",
			session->peer.owner);
	taken = turn_away(broker, fd, &session->peer, r, &detail);
	session_free(session);
	return taken;
}

/*
 * Whose PEER's uid is. A user has more uids than one, in user namespaces: by subuid(5); or given by a service (such as
 * systemd-nsresourced), which only the slice of the user tells. Root, and the processes that root starts, count as
 * themselves.
 */
static uid_t owner_of(const struct broker *broker, const struct peer *peer, int pidfd)
{
	uid_t owner = broker->policy ? owners_find(&broker->policy->owners, peer->uid) : peer->uid;

	if (peer->uid == 0 || owner != peer->uid)
		return owner;
	return peer_find_slice(peer, pidfd, &owner) && owner != 0 ? owner : peer->uid;
}

bool session_accept(struct broker *broker, int fd)
{
	struct detail detail = {0};
	struct session *session;
	struct user *user;
	OWNED_FD pidfd = -1;
	struct peer peer = {.uid = (uid_t)-1, .owner = (uid_t)-1}; /* of nobody, unless the kernel says who it is */
	bool taken;
	int r = peer_identify(fd, &peer, &pidfd);

	if (r == 0) {
		peer.owner = owner_of(broker, &peer, pidfd);
		r = quota_session(broker, peer.owner, &user, &detail);
	}
	if (r != 0) {
		taken = turn_away(broker, fd, &peer, r, &detail);
		peer_clear(&peer);
		return taken;
	}
	session = session_new(broker, &peer, user, broker->last_session + 1);
	return session && begin(session, fd, pidfd);
}

/* Charges SESSION to the owner of its uid by the policy in force. */
static void charge_owner(struct session *session)
{
	struct broker *broker = session->broker;
	uid_t owner = owners_find(&broker->policy->owners, session->peer.uid);
	struct user *user;

	/* Nobody has a lease before the first policy, and whoever has one, or is about to, keeps the owner of before. A
	 * request that waits for the policy alone is about to hear of it. */
	if (owner == session->peer.uid || owner == session->peer.owner || session->leases_count > 0 ||
		(session->waits && session->waits->group) ||
		user_charge_session(&broker->users, owner, UINT32_MAX, &user) < 0)
		return;
	user_refund_session(&broker->users, session->user);
	session->user = user;
	session->peer.owner = owner;
	/* The next broker finds the lease before it reads the policy. */
	roll_unit(&session->front->roll, session);
}

void session_find_owners(struct broker *broker)
{
	struct front *front;
	struct session *session;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		for (session = front_first(front); session; session = front_next(session))
			charge_owner(session);
	}
}

/* A broker that was killed while it wrote the unit down has left two records. */
static void adopt_second(struct session *session, struct roll_entry *entry)
{
	struct peer peer = session->peer;

	if (!entry->peer.unit) {
		peer_clear(&entry->peer);
		return;
	}
	session->peer = entry->peer;
	/* As whose the session is charged. */
	session->peer.owner = peer.owner;
	roll_remove(&session->front->roll, session);
	roll_adopt(session, entry);
	peer_clear(&peer);
}

void session_adopt(struct front *front, struct roll_entry *entry)
{
	struct broker *broker = front->broker;
	struct session *session = front_find(front, entry->session);
	struct user *user;
	uint64_t age;
	int r;

	if (session) {
		adopt_second(session, entry);
		return;
	}
	/* No limit: an earlier broker admitted the session, and a grant stays. */
	r = user_charge_session(&broker->users, entry->peer.owner, UINT32_MAX, &user);
	session = r == 0 ? session_new(broker, &entry->peer, user, entry->session) : NULL;
	if (!session) {
		log_line(LOG_ERR, "a session of an earlier broker is lost: %s", strerror(ENOMEM));
		return;
	}
	age = session->started - entry->started;
	/* The monotonic clock does not count sleep: after a suspend the clock may be younger than the session. */
	session->since_us = age < session->since_us ? session->since_us - age : 0;
	session->started = entry->started;
	session->unconfirmed = true;
	roll_adopt(session, entry);
	front_adopt_session(front, session);
	if (entry->watches)
		watch_adopt(session);
}

void session_confirm(struct session *session, uint64_t arrived_us)
{
	session->unconfirmed = false;
	session->repeated = arrived_us != 0;
	session->arrived_us = arrived_us;
}

void session_close(struct session *session, bool tell)
{
	struct lease *lease;

	waiter_cancel(session);
	watch_end(session);
	front_disconnect(session, tell);
	while ((lease = LIST_FIRST(&session->leases))) {
		struct iommu_group *group = lease->device->group;

		lease_orphan(lease);
		group_release(group);
	}
	assert(session->leases_count == 0);
	session_free(session);
}
