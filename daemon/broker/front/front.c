/* SPDX-License-Identifier: MIT */
#include "front/front.h"

#include "base/limits.h"
#include "base/loop.h"
#include "base/store.h"
#include "connection.h"
#include "fdset.h"
#include "front/roll.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A packet that did not fit the control socket: of its own size, with its descriptors. */
struct unsent {
	STAILQ_ENTRY(unsent) next;
	struct packet packet;
};

static int session_compare(const struct session *a, const struct session *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

/* Not RB_GENERATE_STATIC: libbsd leaves its __unused to BSD's own headers. */
RB_GENERATE_INTERNAL(session_tree, session, in_front, session_compare, __attribute__((unused)) static)

/* ---- sessions ---- */

struct session *front_find(const struct front *front, uint64_t session)
{
	struct session wanted = {.id = session};

	return RB_FIND(session_tree, (struct session_tree *)&front->sessions, &wanted);
}

struct session *front_first(const struct front *front)
{
	return RB_MAX(session_tree, (struct session_tree *)&front->sessions);
}

struct session *front_next(const struct session *session)
{
	return RB_PREV(session_tree, NULL, (struct session *)session);
}

void front_adopt_session(struct front *front, struct session *session)
{
	session->front = front;
	RB_INSERT(session_tree, &front->sessions, session);
	front->sessions_count++;
}

/* ---- in reserve ---- */

/* A spare front that hangs is no spare one, until the front answers again. */
static bool is_spare(const struct front *front)
{
	return front->role == FRONT_SPARE && front->state != FRONT_ENDING && front->hung_since_us == 0;
}

static unsigned int count_spares(const struct broker *broker)
{
	const struct front *front;
	unsigned int count = 0;

	LIST_FOREACH(front, &broker->fronts, in_broker)
		count += is_spare(front);
	return count;
}

static bool lacks_spare(const struct broker *broker)
{
	return count_spares(broker) < FRONTS_SPARE && !broker->stopping && broker->fronts_count < FRONTS_MAX;
}

/* The one that has waited the longest. */
static struct front *ready_spare(const struct broker *broker)
{
	struct front *front, *found = NULL;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		if (is_spare(front) && front->state == FRONT_READY)
			found = front;
	}
	return found;
}

bool front_is_ready(const struct broker *broker)
{
	return ready_spare(broker) != NULL;
}

static void tell_spares(struct broker *broker)
{
	broker->front_events->spare(broker, front_is_ready(broker));
}

/* ---- the clock: answers to HELLO and PING, the end ---- */

static int on_timer(sd_event_source *source, uint64_t now, void *userdata);

static void arm(struct front *front, uint64_t delay_us)
{
	if (loop_timer(front->broker->event, &front->timer, delay_us, on_timer, front) < 0)
		log_line(LOG_ERR, "out of memory: a front that hangs is not noticed");
}

static void await(struct front *front)
{
	front->waiting_since_us = loop_now(front->broker->event);
	arm(front, FRONT_HUNG_US);
}

static void send_ping(struct front *front)
{
	struct packet *packet = &front->broker->outgoing;

	packet_request(packet, FRONT_PING, front->sent);
	/* Without room for PING the front has not read, and is awaited all the same. */
	(void)packet_send(front->control, MSG_DONTWAIT, packet);
	front->pinged = front->sent;
}

/* Asks the front for an answer, unless an answer is awaited already. */
static void ping(struct front *front)
{
	if (front->pinged != 0)
		return;
	send_ping(front);
	await(front);
}

static void note_sent(struct front *front)
{
	front->sent++;
	if (front->pinged == 0 && front->sent == front->acknowledged + 1)
		arm(front, FRONT_PING_US);
}

static int on_idle(sd_event_source *source, uint64_t now, void *userdata);

static void answers_again(struct front *front)
{
	struct broker *broker = front->broker;

	log_line(LOG_NOTICE, "front of uid %u (pid %u): answers again", front->owner, front->pid);
	front->hung_since_us = 0;
	/* Others were started meanwhile. Without memory for a timer there is one more. */
	if (front->role == FRONT_SPARE && count_spares(broker) > FRONTS_SPARE)
		(void)loop_timer(broker->event, &front->idle, 0, on_idle, front);
}

static void on_pong(struct front *front, uint64_t cookie)
{
	if (front->hung_since_us != 0)
		answers_again(front);
	if (front->role == FRONT_SPARE)
		tell_spares(front->broker);
	front->acknowledged = cookie;
	front->pinged = 0;
	if (front->sent != front->acknowledged)
		arm(front, FRONT_PING_US);
	else
		sd_event_source_set_enabled(front->timer, SD_EVENT_OFF);
}

/* ---- room in the control socket ---- */

static void wait_for(struct front *front, uint32_t events)
{
	/* Failures are impossible: the source exists, and the descriptor is open. */
	(void)sd_event_source_set_io_events(front->io, events);
}

static void break_off(struct front *front)
{
	if (front->control >= 0)
		shutdown(front->control, SHUT_RDWR);
}

static void keep(struct front *front, struct packet *packet)
{
	struct unsent *unsent = malloc(offsetof(struct unsent, packet.payload) + packet->header.length);

	if (!unsent) {
		log_line(LOG_ERR, "out of memory: the front of uid %u ends", front->owner);
		break_off(front);
		return;
	}
	memcpy(&unsent->packet, packet, offsetof(struct packet, payload) + packet->header.length);
	packet->fds.count = 0;
	STAILQ_INSERT_TAIL(&front->unsent, unsent, next);
	wait_for(front, EPOLLOUT);
}

void front_send(struct front *front, struct packet *packet)
{
	int r;

	if (front->control < 0) {
		packet_clear(packet);
		return;
	}
	r = STAILQ_EMPTY(&front->unsent) ? packet_send(front->control, MSG_DONTWAIT, packet) : -EAGAIN;
	if (r == -EAGAIN)
		keep(front, packet);
	else if (r < 0)
		break_off(front);
	packet_clear(packet);
	note_sent(front);
}

bool front_notify(struct front *front, struct packet *packet)
{
	bool sent = front->control >= 0 && STAILQ_EMPTY(&front->unsent) &&
		packet_send(front->control, MSG_DONTWAIT, packet) == 0;

	packet_clear(packet);
	if (sent)
		note_sent(front);
	else if (front->control >= 0 && STAILQ_EMPTY(&front->unsent))
		wait_for(front, EPOLLIN | EPOLLOUT);
	return sent;
}

static void drop_unsent(struct front *front)
{
	struct unsent *unsent = STAILQ_FIRST(&front->unsent);

	STAILQ_REMOVE_HEAD(&front->unsent, next);
	packet_clear(&unsent->packet);
	free(unsent);
}

/* Returns true if nothing is left to be sent. */
static bool send_unsent(struct front *front)
{
	struct unsent *unsent;

	while ((unsent = STAILQ_FIRST(&front->unsent))) {
		int r = packet_send(front->control, MSG_DONTWAIT, &unsent->packet);

		if (r == -EAGAIN)
			return false;
		if (r < 0)
			break_off(front);
		drop_unsent(front);
	}
	wait_for(front, EPOLLIN);
	front->broker->front_events->writable(front);
	return STAILQ_EMPTY(&front->unsent);
}

/* ---- the end ---- */

static void close_control(struct front *front)
{
	while (!STAILQ_EMPTY(&front->unsent))
		drop_unsent(front);
	front->io = sd_event_source_disable_unref(front->io);
	if (front->control < 0)
		return;
	shutdown(front->control, SHUT_RDWR);
	close(front->control);
	front->control = -1;
}

static void leave_role(struct front *front)
{
	struct broker *broker = front->broker;

	if (broker->front_door == front)
		broker->front_door = NULL;
	if (front->role == FRONT_SPARE)
		tell_spares(broker);
}

static void prepare_in(struct broker *broker, uint64_t delay_us);

void front_free(struct front *front)
{
	struct broker *broker = front->broker;

	assert(front->sessions_count == 0);
	LIST_REMOVE(front, in_broker);
	broker->fronts_count--;
	leave_role(front);
	close_control(front);
	sd_event_source_disable_unref(front->life_io);
	sd_event_source_disable_unref(front->timer);
	sd_event_source_disable_unref(front->idle);
	if (front->state != FRONT_STARTING)
		store_forget(STORE_FRONT, front->number);
	/* The front sees the end, although systemd may still have a copy of the connection. */
	shutdown(front->life, SHUT_RDWR);
	close(front->life);
	roll_close(&front->roll);
	free(front);
	/* There may be a place again. */
	prepare_in(broker, FRONT_RETRY_US);
}

/* The control socket has ended, by the front or by the broker. The process may hang, and is awaited. */
static void control_ended(struct front *front)
{
	struct broker *broker = front->broker;

	if (front->state == FRONT_ENDING)
		return;
	front->state = FRONT_ENDING;
	front->hung_since_us = 0;
	front->idle = sd_event_source_disable_unref(front->idle);
	leave_role(front);
	close_control(front);
	broker->front_events->ended(front);
	await(front);
	prepare_in(broker, FRONT_RETRY_US);
}

void front_end(struct front *front)
{
	front->ordered = true;
	control_ended(front);
}

void front_fail(struct front *front, const char *what)
{
	log_line(LOG_ERR, "front of uid %u (pid %u): %s; the front is ended", front->owner, front->pid, what);
	break_off(front);
}

static int on_life(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct front *front = userdata;

	(void)source;
	(void)fd;
	(void)events;
	control_ended(front);
	front_free(front);
	return 0;
}

static int on_idle(sd_event_source *source, uint64_t now, void *userdata)
{
	struct front *front = userdata;

	(void)source;
	(void)now;
	if (front->sessions_count == 0 && front->hung_since_us == 0)
		front_end(front);
	return 0;
}

static void end_if_idle(struct front *front)
{
	if (front->sessions_count > 0 || front->role == FRONT_SPARE || front->state == FRONT_ENDING)
		return;
	/* Without memory for a timer the front goes on. */
	(void)loop_timer(front->broker->event, &front->idle, FRONT_IDLE_US, on_idle, front);
}

void front_disconnect(struct session *session, bool tell)
{
	struct front *front = session->front;
	struct packet *packet = &front->broker->outgoing;

	RB_REMOVE(session_tree, &front->sessions, session);
	front->sessions_count--;
	roll_remove(&front->roll, session);
	if (tell) {
		packet_request(packet, FRONT_CLOSE, session->id);
		front_send(front, packet);
	}
	end_if_idle(front);
}

/* ---- what a front sends ---- */

static bool is_reply(const struct packet *packet, uint16_t type)
{
	return packet->header.type == type && packet->header.flags == MESSAGE_REPLY;
}

static void on_hello(struct front *front, const struct packet *packet)
{
	const struct front_hello_reply *reply = packet_body(packet, sizeof *reply);
	struct broker *broker = front->broker;
	const int fds[] = {front->life, front->control, front->roll.fd};

	if (!reply || front->state != FRONT_STARTING) {
		front_fail(front, "a wrong answer to HELLO");
		return;
	}
	front->pid = reply->pid;
	front->uid = reply->uid;
	front->state = FRONT_READY;
	sd_event_source_set_enabled(front->timer, SD_EVENT_OFF);
	/* Stored before the front gets anything that concerns the next broker, and not when a client waits. */
	store_put(STORE_FRONT, front->number, fds, 3);
	tell_spares(broker);
}

static int on_control(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct front *front = userdata;
	struct packet *packet = &front->broker->buffers.request;
	int r;

	(void)source;
	if ((events & EPOLLOUT) && !send_unsent(front))
		return 0;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	r = packet_receive(fd, MSG_DONTWAIT, 0, packet);
	if (r == -EAGAIN)
		return 0;
	if (r != PACKET_RECEIVED)
		control_ended(front);
	else if (is_reply(packet, FRONT_PING))
		on_pong(front, packet->header.cookie);
	else if (is_reply(packet, FRONT_HELLO))
		on_hello(front, packet);
	else if (front->state == FRONT_STARTING)
		front_fail(front, "speaks before HELLO");
	else
		front->broker->front_events->packet(front, packet);
	return 0;
}

static void tell_hung(const struct front *front)
{
	if (front->state == FRONT_ENDING)
		log_line(LOG_WARNING,
			"front of uid %u (pid %u) has not ended yet: a descriptor that a client of uid %u attached may "
			"hold it up, and nobody else; ending the processes of uid %u lets it go",
			front->owner, front->pid, front->owner, front->owner);
	else
		log_line(LOG_WARNING,
			"front of uid %u (pid %u) does not answer; other users do not notice; to end it, and all "
			"sessions it has: kill -9 %u",
			front->owner, front->pid, front->pid);
}

static void note_hung(struct front *front)
{
	if (front->hung_since_us == 0) {
		front->hung_since_us = front->waiting_since_us;
		tell_hung(front);
		/* Another one's turn to be in reserve. */
		leave_role(front);
		prepare_in(front->broker, 0);
		front->broker->front_events->hung(front);
	}
	/* The last PING may have had no room. */
	if (front->state != FRONT_ENDING) {
		send_ping(front);
		arm(front, FRONT_HUNG_US);
	}
}

/* No answer to HELLO, the end or an answer to PING that does not come, or the time for the next PING. */
static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
	struct front *front = userdata;

	(void)source;
	(void)now;
	if (front->state == FRONT_STARTING) {
		log_line(LOG_WARNING, "%s: no front has started", front->broker->options->front_socket);
		control_ended(front);
		front_free(front);
	} else if (front->state == FRONT_ENDING || front->pinged != 0) {
		note_hung(front);
	} else {
		ping(front);
	}
	return 0;
}

/* ---- starting one ---- */

static int add_source(
	struct front *front, int fd, uint32_t events, sd_event_io_handler_t handler, sd_event_source **ret)
{
	return sd_event_add_io(front->broker->event, ret, fd, events, handler, front);
}

/* Takes LIFE, CONTROL (or -1) and the descriptor of ROLL on success. */
static struct front *front_make(struct broker *broker, int life, int control, const struct roll *roll)
{
	struct front *front = calloc(1, sizeof *front);

	if (!front)
		return NULL;
	*front = (struct front){.broker = broker, .life = life, .control = control, .roll = *roll};
	RB_INIT(&front->sessions);
	STAILQ_INIT(&front->unsent);
	/* EPOLLRDHUP: a front sends nothing on the life line. */
	if (add_source(front, life, EPOLLRDHUP, on_life, &front->life_io) < 0 ||
		(control >= 0 && add_source(front, control, EPOLLIN, on_control, &front->io) < 0)) {
		sd_event_source_disable_unref(front->life_io);
		free(front);
		return NULL;
	}
	LIST_INSERT_HEAD(&broker->fronts, front, in_broker);
	broker->fronts_count++;
	return front;
}

/* FRONT_HELLO with THEIRS, the front's end of the control socket. */
static int greet(struct broker *broker, int life, int theirs)
{
	struct packet *packet = &broker->outgoing;
	struct hello_request *hello;
	int r;

	packet_request(packet, FRONT_HELLO, 1);
	hello = packet_append(packet, sizeof *hello);
	hello->version_lowest = MESSAGE_VERSION;
	hello->version_highest = MESSAGE_VERSION;
	fdset_add(&packet->fds, theirs);
	r = packet_send(life, MSG_DONTWAIT, packet);
	packet_clear(packet);
	return r;
}

static int front_new(struct broker *broker)
{
	/* systemd listens on this socket. */
	OWNED_FD life = connection_open(broker->options->front_socket, SOCK_SEQPACKET);
	OWNED_FD control = -1;
	struct front *front;
	struct roll roll;
	int pair[2], r;

	if (life < 0)
		return life;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	control = pair[0];
	connection_limit_queue(pair[0]);
	connection_limit_queue(pair[1]);
	connection_refuse_fds(control);
	connection_refuse_fds(life);
	r = greet(broker, life, pair[1]);
	if (r == 0)
		r = roll_make(&roll, broker->last_front + 1);
	if (r < 0)
		return r;
	front = front_make(broker, life, control, &roll);
	if (!front) {
		roll_close(&roll);
		return -ENOMEM;
	}
	fd_take(&life);
	fd_take(&control);
	front->number = ++broker->last_front;
	arm(front, FRONT_ANSWER_US);
	return 0;
}

static int on_prepare(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	front_prepare(userdata);
	return 0;
}

static void prepare_in(struct broker *broker, uint64_t delay_us)
{
	uint64_t due;

	if (!lacks_spare(broker))
		return;
	if (broker->front_timer && sd_event_source_get_enabled(broker->front_timer, NULL) > 0 &&
		sd_event_source_get_time(broker->front_timer, &due) >= 0 && due <= loop_now(broker->event) + delay_us)
		return;
	if (loop_timer(broker->event, &broker->front_timer, delay_us, on_prepare, broker) < 0)
		log_line(LOG_ERR, "out of memory: no connection is accepted until a front has ended");
}

void front_prepare(struct broker *broker)
{
	while (lacks_spare(broker)) {
		int r = front_new(broker);

		if (r == 0)
			continue;
		log_line(LOG_WARNING, "%s: no front for the next client: %s", broker->options->front_socket,
			strerror(-r));
		prepare_in(broker, FRONT_RETRY_US);
		return;
	}
}

/* ---- connections ---- */

static bool takes_connections(const struct front *front)
{
	return (front->state == FRONT_READY || front->state == FRONT_QUERIED) && front->hung_since_us == 0 &&
		STAILQ_EMPTY(&front->unsent);
}

static unsigned int fronts_of(const struct broker *broker, uid_t owner)
{
	const struct front *front;
	unsigned int count = 0;

	LIST_FOREACH(front, &broker->fronts, in_broker)
		count += front->role == FRONT_OWNED && front->owner == owner &&
			(front->state != FRONT_ENDING || front->hung_since_us != 0);
	return count;
}

/* A spare front is somebody's from now on. Returns the front, or NULL. */
static struct front *assign(struct broker *broker, enum front_role role, uid_t owner)
{
	struct front *front = ready_spare(broker);

	if (!front || roll_assign(&front->roll, role, owner, front->pid) < 0)
		return NULL;
	front->role = role;
	front->owner = owner;
	tell_spares(broker);
	prepare_in(broker, 0);
	return front;
}

static struct front *assign_to_owner(struct broker *broker, uid_t owner)
{
	unsigned int places = owner == 0 ? FRONTS_MAX : FRONTS_MAX - FRONTS_FOR_ROOT;

	if (owner != 0 && user_leases(&broker->users, owner) == 0)
		places -= FRONTS_FOR_HOLDERS;
	if (broker->fronts_count > places || fronts_of(broker, owner) >= FRONTS_PER_OWNER)
		return NULL;
	return assign(broker, FRONT_OWNED, owner);
}

/* Sends FRONT_CONNECT with FD, which is taken on success. RESULT 0: the session begins. */
static int send_connect(struct front *front, uint64_t session, int fd, int result, const struct detail *detail)
{
	struct packet *packet = &front->broker->outgoing;
	size_t length = detail ? strnlen(detail->text, sizeof detail->text) : 0;
	struct front_connect *connect;
	int r;

	packet_request(packet, FRONT_CONNECT, session);
	connect = packet_append(packet, sizeof *connect);
	connect->refusal.refusal = (uint32_t)(result < 0 ? REFUSAL_FAILED : result);
	connect->refusal.error = (uint32_t)(result < 0 ? -result : 0);
	if (length > 0)
		memcpy(packet_append(packet, length), detail->text, length);
	fdset_add(&packet->fds, fd);
	r = packet_send(front->control, MSG_DONTWAIT, packet);
	if (r < 0) {
		fdset_take(&packet->fds, 0);
		packet_clear(packet);
		if (r != -EAGAIN && r != -ETOOMANYREFS)
			break_off(front);
		return r;
	}
	front->sent++;
	ping(front);
	return 0;
}

static int connect_to(struct front *front, struct session *session, int fd)
{
	int r = roll_add(&front->roll, session);

	if (r < 0)
		return r;
	r = send_connect(front, session->id, fd, 0, NULL);
	if (r < 0)
		roll_remove(&front->roll, session);
	else
		front_adopt_session(front, session);
	return r;
}

int front_connect(struct broker *broker, struct session *session, int fd)
{
	uid_t owner = session->peer.owner;
	struct front *front;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		if (front->role == FRONT_OWNED && front->owner == owner && takes_connections(front) &&
			connect_to(front, session, fd) == 0)
			return 0;
	}
	front = assign_to_owner(broker, owner);
	return front ? connect_to(front, session, fd) : -EDQUOT;
}

int front_turn_away(struct broker *broker, uid_t owner, int fd, int result, const struct detail *detail)
{
	struct front *front;

	LIST_FOREACH(front, &broker->fronts, in_broker) {
		if (front->role == FRONT_OWNED && front->owner == owner && takes_connections(front) &&
			send_connect(front, 0, fd, result, detail) == 0)
			return 0;
	}
	/* Nobody's own front: a user that may not have sessions has no front, either. */
	if (!broker->front_door || !takes_connections(broker->front_door))
		broker->front_door = assign(broker, FRONT_DOOR, 0);
	front = broker->front_door;
	if (!front)
		return -EAGAIN;
	end_if_idle(front);
	return send_connect(front, 0, fd, result, detail);
}

bool front_look(struct session *session)
{
	struct front *front = session->front;
	struct packet *packet = &front->broker->outgoing;

	if (!takes_connections(front))
		return false;
	packet_request(packet, FRONT_LOOK, session->id);
	front_send(front, packet);
	ping(front);
	return true;
}

/* ---- a front of an earlier broker ---- */

struct front *front_adopt(struct broker *broker, uint64_t number, int life, int control, int fd)
{
	struct front *front;
	struct roll_whose whose;
	struct roll roll;

	if (roll_open(&roll, fd, number, &whose) < 0)
		return NULL;
	front = front_make(broker, life, control, &roll);
	if (!front)
		return NULL;
	front->number = number;
	front->state = FRONT_QUERIED;
	front->role = whose.role;
	front->owner = whose.owner;
	front->pid = whose.pid;
	if (broker->last_front < number)
		broker->last_front = number;
	return front;
}

void front_query(struct front *front)
{
	struct packet *packet = &front->broker->outgoing;

	if (front->control < 0) {
		control_ended(front);
		return;
	}
	packet_request(packet, FRONT_QUERY, front->broker->started_us);
	front_send(front, packet);
	end_if_idle(front);
}

void front_queried(struct front *front, uint32_t pid, uint32_t uid)
{
	struct broker *broker = front->broker;

	front->pid = pid;
	front->uid = uid;
	front->state = FRONT_READY;
	if (front->role == FRONT_DOOR && !broker->front_door)
		broker->front_door = front;
	if (front->role == FRONT_SPARE)
		tell_spares(broker);
}
