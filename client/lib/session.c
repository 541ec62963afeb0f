/* SPDX-License-Identifier: MIT */
#include "session.h"

#include "detail.h"
#include "holder.h"
#include "text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static_assert((int)VBROKER_STATE_FREE == (int)DEVICE_STATE_FREE, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_CLAIMING == (int)DEVICE_STATE_CLAIMING, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_LEASED == (int)DEVICE_STATE_LEASED, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_RELEASING == (int)DEVICE_STATE_RELEASING, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_RESTORING == (int)DEVICE_STATE_RESTORING, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_QUARANTINED == (int)DEVICE_STATE_QUARANTINED, "public and wire numbers differ");
static_assert(VBROKER_STATUS_CHANGES == STATUS_CHANGES, "public and wire numbers differ");
static_assert(VBROKER_STATUS_DENIALS == STATUS_DENIALS, "public and wire numbers differ");
static_assert((int)VBROKER_POLICY_SECTION == (int)POLICY_LINE_SECTION, "public and wire numbers differ");
static_assert((int)VBROKER_POLICY_FILE == (int)POLICY_LINE_FILE, "public and wire numbers differ");
static_assert((int)VBROKER_POLICY_KEY == (int)POLICY_LINE_KEY, "public and wire numbers differ");
static_assert((int)VBROKER_VERDICT_NO_RULE == (int)EXPLAIN_NO_RULE, "public and wire numbers differ");
static_assert((int)VBROKER_VERDICT_DENIED == (int)EXPLAIN_DENIED, "public and wire numbers differ");
static_assert((int)VBROKER_VERDICT_ALLOWED == (int)EXPLAIN_ALLOWED, "public and wire numbers differ");
static_assert(VBROKER_UNLIMITED == EXPLAIN_UNLIMITED, "public and wire numbers differ");
static_assert(VBROKER_GROUP_NONE == GROUP_NONE, "public and wire numbers differ");

/* Entries of one list. Far beyond any machine: a bound for what a server that never stops can make us allocate. */
#define ENTRIES_MAX 65536

/* Supplementary groups that fit one request with room to spare. The kernel knows up to 65,536; people have a few. */
#define GROUPS_MAX 4096

/* How often a connection may end before HELLO is answered: more often than a broker in a crash loop gets to accept it. */
#define ATTEMPTS_MAX 16

/* ---- opening and closing ---- */

static int connect_to(const char *path, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	OWNED_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof address.sun_path)
		return detail_set(
			-ENAMETOOLONG, "the path of a socket has at most %zu bytes", sizeof address.sun_path - 1);
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int r = -errno;

		if (r == -ENOENT || r == -ECONNREFUSED)
			return detail_set(r, "no broker at %.100s; 'systemctl status vfio-broker.socket'", path);
		return detail_set(r, "connecting to %.100s", path);
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

/* FD is taken on success and stays the caller's on failure. */
static int session_new(int fd, struct vbroker_session **ret_session)
{
	struct vbroker_session *session = malloc(sizeof *session);
	enum channel_kind kind;
	int r;

	if (!session)
		return -ENOMEM;
	session->watch = NULL;
	requester_init(&session->channel, fd, &broker_table);
	r = requester_hello(&session->channel, &kind);
	if (r == 0 && kind != CHANNEL_BROKER)
		r = detail_set(-EPROTO, "what answers there is not a broker (kind %d)", (int)kind);
	if (r != 0) {
		requester_clear(&session->channel);
		free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

static int open_once(const char *path, struct vbroker_session **ret_session)
{
	OWNED_FD fd = -1;
	int r = connect_to(path, &fd);

	if (r == 0)
		r = session_new(fd, ret_session);
	if (r == 0)
		fd_take(&fd);
	return r;
}

int vbroker_session_open(const char *path, struct vbroker_session **ret_session)
{
	int r = -ECONNRESET;

	/* A broker that is killed right after accept() has no record of the connection yet; the next one is waited for in
	 * its socket's queue. */
	for (int i = 0; i < ATTEMPTS_MAX && r == -ECONNRESET; i++) {
		detail_clear();
		r = open_once(path ? path : VBROKER_SOCKET, ret_session);
	}
	return r;
}

void vbroker_session_close(struct vbroker_session *session)
{
	if (!session)
		return;
	close(session->channel.fd);
	requester_clear(&session->channel);
	free(session->watch);
	free(session);
}

int vbroker_session_fd(const struct vbroker_session *session)
{
	return session->channel.fd;
}

int vbroker_session_ping(struct vbroker_session *session)
{
	detail_clear();
	return requester_ping(&session->channel);
}

/* ---- devices by name ---- */

/* Puts NAME into a request. The form is the broker's to judge; here it only has to fit. */
static int put_name(char field[DEVICE_NAME_SIZE], const char *name)
{
	size_t length = strlen(name);

	if (length >= DEVICE_NAME_SIZE)
		return detail_set(REFUSAL_NO_SUCH_DEVICE, "a name has at most %d characters", DEVICE_NAME_SIZE - 1);
	memcpy(field, name, length);
	return 0;
}

int session_lease(struct vbroker_session *session, const char *name, int *ret_channel)
{
	static const struct requester_reply expected = {.size = sizeof(struct open_reply), .fds = 1};
	struct open_request *open = requester_begin(&session->channel, BROKER_OPEN, sizeof *open);
	int r = put_name(open->name, name);

	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r == 0)
		*ret_channel = fdset_take(&session->channel.packet.fds, 0);
	return r;
}

static int read_obstacles(const struct packet *packet, struct vbroker_obstacle **ret_obstacles)
{
	const struct check_reply *reply = packet_body(packet, sizeof *reply);
	const struct check_obstacle *records = (const void *)(reply + 1);
	struct vbroker_obstacle *obstacles;

	if (packet->header.length != sizeof *reply + (uint64_t)reply->count * sizeof *records)
		return detail_set(-EPROTO, "%u obstacles in a reply of another length", reply->count);
	obstacles = calloc(reply->count + 1U, sizeof *obstacles);
	if (!obstacles)
		return -ENOMEM;
	for (uint32_t i = 0; i < reply->count; i++) {
		obstacles[i].refusal = (int)records[i].refusal;
		text_copy(obstacles[i].detail, sizeof obstacles[i].detail, records[i].detail, sizeof records[i].detail);
	}
	*ret_obstacles = obstacles;
	return 0;
}

int vbroker_session_check(struct vbroker_session *session, const char *name, struct vbroker_obstacle **ret_obstacles,
	size_t *ret_count, int *ret_claim)
{
	static const struct requester_reply expected = {
		.size = sizeof(struct check_reply),
		.element_size = sizeof(struct check_obstacle),
	};
	struct check_request *check = requester_begin(&session->channel, BROKER_CHECK, sizeof *check);
	const struct check_reply *reply;
	int r;

	detail_clear();
	r = put_name(check->name, name);
	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r == 0)
		r = read_obstacles(&session->channel.packet, ret_obstacles);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	*ret_count = reply->count;
	*ret_claim = reply->claim != 0;
	return 0;
}

static_assert((int)VBROKER_RELEASE_FORCE == (int)BROKER_RELEASE_FORCE, "public and wire numbers differ");
static_assert((int)VBROKER_RELEASE_ASK == (int)BROKER_RELEASE_ASK, "public and wire numbers differ");

int vbroker_session_release(
	struct vbroker_session *session, const char *name, unsigned int flags, struct vbroker_released *ret_released)
{
	static const struct requester_reply expected = {.size = sizeof(struct broker_release_reply)};
	struct broker_release_request *release = requester_begin(&session->channel, BROKER_RELEASE, sizeof *release);
	const struct broker_release_reply *reply;
	int r;

	detail_clear();
	release->flags = flags;
	r = put_name(release->name, name);
	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	text_copy(ret_released->ended, sizeof ret_released->ended, reply->ended, sizeof reply->ended);
	text_copy(
		ret_released->unverified, sizeof ret_released->unverified, reply->unverified, sizeof reply->unverified);
	return 0;
}

static void read_report(struct vbroker_revocation *revocation, const struct release_report *report)
{
	static_assert((int)VBROKER_STEPS == (int)RELEASE_STEPS, "public and wire numbers differ");
	static_assert((int)VBROKER_STEP_LEAVE == (int)RELEASE_LEAVE, "public and wire numbers differ");
	static_assert((int)VBROKER_RESET_UNSURE == (int)RESET_UNSURE, "public and wire numbers differ");
	static_assert((int)VBROKER_ENDED_ERROR == (int)ENDED_ERROR, "public and wire numbers differ");

	revocation->reason = (enum vbroker_end_reason)report->reason;
	revocation->reset = (enum vbroker_reset_result)report->reset;
	for (unsigned int i = 0; i < RELEASE_STEPS; i++)
		revocation->steps[i] = (struct vbroker_step){
			.taken = !!(report->taken & 1U << i),
			.error = (int)report->steps[i].error,
			.time_us = report->steps[i].time_us,
		};
}

int vbroker_session_revoke(struct vbroker_session *session, const char *name, uint32_t deadline_ms,
	struct vbroker_revocation *ret_revocation)
{
	static const struct requester_reply expected = {.size = sizeof(struct revoke_reply)};
	struct revoke_request *request = requester_begin(&session->channel, BROKER_REVOKE, sizeof *request);
	const struct revoke_reply *reply;
	int r;

	static_assert((int)VBROKER_REVOKE_INCOMPLETE == (int)REVOKE_INCOMPLETE, "public and wire numbers differ");
	detail_clear();
	request->deadline_ms = deadline_ms;
	r = put_name(request->name, name);
	if (r == 0)
		r = requester_call(&session->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	memset(ret_revocation, 0, sizeof *ret_revocation);
	ret_revocation->result = (enum vbroker_revoke_result)reply->result;
	ret_revocation->group = reply->group;
	ret_revocation->keeper_pid = reply->keeper_pid;
	ret_revocation->time_us = reply->time_us;
	holder_read(&ret_revocation->holder, &reply->holder);
	ret_revocation->reported = reply->reported != 0;
	read_report(ret_revocation, &reply->report);
	text_copy(ret_revocation->detail, sizeof ret_revocation->detail, reply->detail, sizeof reply->detail);
	return 0;
}

int vbroker_session_status(struct vbroker_session *session, struct vbroker_status *ret_status)
{
	static const struct requester_reply expected = {.size = sizeof(struct status_reply)};
	const struct status_reply *reply;
	int r;

	detail_clear();
	requester_begin(&session->channel, BROKER_STATUS, 0);
	r = requester_call(&session->channel, &expected);
	if (r != 0)
		return r;
	reply = packet_body(&session->channel.packet, sizeof *reply);
	*ret_status = (struct vbroker_status){
		.uptime_us = reply->uptime_us,
		.sessions = reply->sessions,
		.leases = reply->leases,
		.keepers = reply->keepers,
		.keepers_spare = reply->keepers_spare,
		.devices = reply->devices,
		.quarantined = reply->quarantined,
		.requests = reply->requests,
		.opens = reply->opens,
		.refusals = reply->refusals,
		.releases = reply->releases,
		.malformed = reply->malformed,
		.policy_in_force = (reply->policy.flags & POLICY_IN_FORCE) != 0,
		.policy_rules = reply->policy.rules,
		.policy_age_us = reply->policy.age_us,
		.watchers = reply->watchers,
		.suppressed = reply->suppressed,
		.lost = reply->lost,
		.missed = reply->missed,
	};
	memcpy(ret_status->changes, reply->changes, sizeof ret_status->changes);
	memcpy(ret_status->denials, reply->denials, sizeof ret_status->denials);
	if (reply->policy.flags & POLICY_FILES_WRONG)
		text_copy(ret_status->policy_error, sizeof ret_status->policy_error, reply->policy.error,
			sizeof reply->policy.error);
	return 0;
}

/* ---- lists, which come in pages ---- */

/* One kind of list: its records on the wire, the public entries they become. */
struct list {
	uint16_t type;
	size_t head_size;
	size_t record_size;
	size_t entry_size;
	void (*read)(void *entry, const void *record);
};

/* What has come so far. Owns the entries. */
struct entries {
	char *bytes;
	size_t count;
};

static int append_page(
	struct entries *entries, const struct list *list, const struct packet *packet, uint32_t *ret_total)
{
	/* Every reply in pages begins with a struct page_reply. */
	const struct page_reply *page = packet_body(packet, list->head_size);
	const char *records = (const char *)page + list->head_size;
	char *grown;

	if (packet->header.length != list->head_size + (uint64_t)page->count * list->record_size)
		return detail_set(-EPROTO, "%u entries in a page of another length", page->count);
	if (entries->count + page->count > ENTRIES_MAX)
		return detail_set(-EPROTO, "more than %d entries", ENTRIES_MAX);
	/* One more than needed: an empty list is an array too. */
	grown = reallocarray(entries->bytes, entries->count + page->count + 1, list->entry_size);
	if (!grown)
		return -ENOMEM;
	entries->bytes = grown;
	for (uint32_t i = 0; i < page->count; i++) {
		char *entry = grown + entries->count++ * list->entry_size;

		memset(entry, 0, list->entry_size);
		list->read(entry, records + i * list->record_size);
	}
	/* An empty page is the end, whatever its total says: the list has become shorter. */
	*ret_total = page->count == 0 ? 0 : page->total;
	return 0;
}

static int read_list(struct vbroker_session *session, const struct list *list, void *ret_entries, size_t *ret_count)
{
	const struct requester_reply expected = {
		.size = list->head_size,
		.element_size = list->record_size,
	};
	struct entries entries = {NULL, 0};
	uint32_t total = 0;
	int r;

	detail_clear();
	do {
		struct page_request *page = requester_begin(&session->channel, list->type, sizeof *page);

		page->start = (uint32_t)entries.count;
		r = requester_call(&session->channel, &expected);
		if (r == 0)
			r = append_page(&entries, list, &session->channel.packet, &total);
	} while (r == 0 && entries.count < total);
	if (r != 0) {
		free(entries.bytes);
		return r;
	}
	memcpy(ret_entries, &entries.bytes, sizeof entries.bytes);
	*ret_count = entries.count;
	return 0;
}

static void read_device(void *to, const void *from)
{
	const struct device_record *record = from;
	struct vbroker_device_entry *entry = to;

	text_copy(entry->name, sizeof entry->name, record->name, sizeof record->name);
	text_copy(entry->driver, sizeof entry->driver, record->driver, sizeof record->driver);
	entry->group = record->group;
	entry->vendor = record->vendor;
	entry->device = record->device;
	entry->class_code = record->class;
	entry->state = (enum vbroker_device_state)record->state;
	holder_read(&entry->holder, &record->holder);
}

static void read_session(void *to, const void *from)
{
	const struct session_record *record = from;
	struct vbroker_session_entry *entry = to;

	entry->id = record->id;
	holder_read(&entry->peer, &record->peer);
	entry->requests = record->requests;
	entry->age_us = record->age_us;
	entry->leases = record->leases;
}

static void read_lease(void *to, const void *from)
{
	const struct lease_record *record = from;
	struct vbroker_lease_entry *entry = to;

	text_copy(entry->name, sizeof entry->name, record->name, sizeof record->name);
	entry->session = record->session;
	entry->age_us = record->age_us;
	entry->group = record->group;
	entry->keeper_pid = record->keeper_pid;
	entry->keeper_uid = record->keeper_uid;
	entry->state = (enum vbroker_device_state)record->state;
}

int vbroker_session_list(struct vbroker_session *session, struct vbroker_device_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_LIST, sizeof(struct page_reply), sizeof(struct device_record),
		sizeof(struct vbroker_device_entry), read_device};

	return read_list(session, &list, ret_entries, ret_count);
}

int vbroker_session_sessions(
	struct vbroker_session *session, struct vbroker_session_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_SESSIONS, sizeof(struct page_reply), sizeof(struct session_record),
		sizeof(struct vbroker_session_entry), read_session};

	return read_list(session, &list, ret_entries, ret_count);
}

int vbroker_session_leases(struct vbroker_session *session, struct vbroker_lease_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_LEASES, sizeof(struct page_reply), sizeof(struct lease_record),
		sizeof(struct vbroker_lease_entry), read_lease};

	return read_list(session, &list, ret_entries, ret_count);
}

/* ---- the policy ---- */

static void read_line(void *to, const void *from)
{
	const struct policy_line *record = from;
	struct vbroker_policy_line *line = to;

	line->kind = (enum vbroker_policy_kind)record->kind;
	line->number = record->number;
	text_copy(line->text, sizeof line->text, record->text, sizeof record->text);
}

int vbroker_session_policy(struct vbroker_session *session, struct vbroker_policy_line **ret_lines, size_t *ret_count)
{
	static const struct list list = {BROKER_POLICY, sizeof(struct page_reply), sizeof(struct policy_line),
		sizeof(struct vbroker_policy_line), read_line};

	return read_list(session, &list, ret_lines, ret_count);
}

static void read_rule(void *to, const void *from)
{
	const struct explain_record *record = from;
	struct vbroker_rule_entry *rule = to;

	rule->verdict = (enum vbroker_verdict)record->verdict;
	rule->line = record->line;
	text_copy(rule->name, sizeof rule->name, record->name, sizeof record->name);
	text_copy(rule->file, sizeof rule->file, record->file, sizeof record->file);
	text_copy(rule->why, sizeof rule->why, record->why, sizeof record->why);
}

static void read_explanation(struct vbroker_explanation *explanation, const struct explain_reply *reply)
{
	*explanation = (struct vbroker_explanation){
		.verdict = (enum vbroker_verdict)reply->verdict,
		.rebind = (reply->flags & EXPLAIN_REBIND) != 0,
		.direct = (reply->flags & EXPLAIN_DIRECT) != 0,
		.windows = reply->windows,
		.window_size = reply->window_size,
		.lease_time_us = reply->lease_time_us,
		.devices = reply->devices,
		.devices_per_unit = reply->devices_per_unit,
		.mappings = reply->mappings,
		.user_sessions = reply->user_sessions,
		.user_devices = reply->user_devices,
		.opens_per_minute = reply->opens_per_minute,
		.connections_per_minute = reply->connections_per_minute,
	};
}

/* The rules from START on. */
static int ask_explain(
	struct vbroker_session *session, const char *name, const struct vbroker_subject *subject, uint32_t start)
{
	static const struct requester_reply expected = {
		.size = sizeof(struct explain_reply),
		.element_size = sizeof(struct explain_record),
	};
	const size_t groups = subject->groups ? subject->groups_count : 0;
	struct explain_request *explain =
		requester_begin(&session->channel, BROKER_EXPLAIN, sizeof *explain + groups * sizeof(uint32_t));
	int r = put_name(explain->name, name);

	if (r != 0)
		return r;
	explain->start = start;
	explain->uid = subject->uid;
	explain->gid = subject->gid;
	if (subject->unit)
		memcpy(explain->unit, subject->unit, strlen(subject->unit));
	if (groups > 0)
		memcpy(explain + 1, subject->groups, groups * sizeof(uint32_t));
	return requester_call(&session->channel, &expected);
}

int vbroker_session_explain(struct vbroker_session *session, const char *name, const struct vbroker_subject *subject,
	struct vbroker_explanation *ret_explanation)
{
	static const struct list list = {BROKER_EXPLAIN, sizeof(struct explain_reply), sizeof(struct explain_record),
		sizeof(struct vbroker_rule_entry), read_rule};
	const struct packet *packet = &session->channel.packet;
	struct vbroker_explanation explanation;
	struct entries entries = {NULL, 0};
	uint32_t total = 0;
	int r;

	detail_clear();
	if (subject->unit && strlen(subject->unit) >= sizeof((struct explain_request *)NULL)->unit)
		return detail_set(-ENAMETOOLONG, "a unit's name has at most 255 bytes");
	if (subject->groups && subject->groups_count > GROUPS_MAX)
		return detail_set(-E2BIG, "more than %d groups", GROUPS_MAX);
	do {
		r = ask_explain(session, name, subject, (uint32_t)entries.count);
		if (r == 0) {
			read_explanation(&explanation, packet_body(packet, sizeof(struct explain_reply)));
			r = append_page(&entries, &list, packet, &total);
		}
	} while (r == 0 && entries.count < total);
	if (r != 0) {
		free(entries.bytes);
		return r;
	}
	explanation.rules = (void *)entries.bytes;
	explanation.rules_count = entries.count;
	*ret_explanation = explanation;
	return 0;
}
