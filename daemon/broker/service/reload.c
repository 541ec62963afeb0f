/* SPDX-License-Identifier: MIT */
#include "service/reload.h"

#include "audit/audit.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/notify.h"
#include "lease/review.h"
#include "log.h"
#include "policy/policy_files.h"
#include "request/hold.h"
#include "request/session.h"
#include "service/policy_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
/* With this header, basename() is a macro for the POSIX function. */
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- watching ---- */

#define FILE_EVENTS                                                                                                    \
	(IN_CLOSE_WRITE | IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB |                \
		IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define PARENT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define WATCH_ENDS    (IN_IGNORED | IN_Q_OVERFLOW | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF)

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata);

/* From "/a/b" to "/a", which awaits "b". */
static void go_up(struct reload_dir *watch)
{
	char copy[PATH_MAX];

	/* basename() and dirname() may write into the argument, and return a part of the argument. */
	strcpy(copy, watch->path);
	snprintf(watch->awaited, sizeof watch->awaited, "%s", basename(copy));
	strcpy(copy, watch->path);
	snprintf(watch->path, sizeof watch->path, "%s", dirname(copy));
}

/*
 * Watches the directory of WATCH, or the nearest parent that exists, and notes the name that has to appear in the
 * parent. Returns 0 or a negative errno.
 */
static int watch_once(struct reload_dir *watch)
{
	uint32_t events = FILE_EVENTS;
	int r;

	snprintf(watch->path, sizeof watch->path, "%s", watch->directory);
	watch->awaited[0] = '\0';
	for (;;) {
		r = sd_event_add_inotify(watch->reload->event, &watch->source, watch->path, events, on_inotify, watch);
		if ((r != -ENOENT && r != -ENOTDIR) || strcmp(watch->path, "/") == 0 || strcmp(watch->path, ".") == 0)
			return r < 0 ? r : 0;
		go_up(watch);
		events = PARENT_EVENTS;
	}
}

/* Whether the awaited name, which was missing when the watch of the parent was made, exists by now. */
static bool missed(const struct reload_dir *watch)
{
	char path[PATH_MAX + NAME_MAX + 2];

	snprintf(path, sizeof path, "%s/%s", watch->path, watch->awaited);
	return watch->awaited[0] && access(path, F_OK) == 0;
}

static void watch_directory(struct reload *reload, struct reload_dir *watch, const char *directory)
{
	/* The old source goes last, so that the old and the new watch share an inotify descriptor. */
	sd_event_source *old = watch->source;
	int r, tries = 3;

	watch->reload = reload;
	watch->directory = directory;
	watch->source = NULL;
	do {
		sd_event_source_disable_unref(watch->source);
		watch->source = NULL;
		r = watch_once(watch);
	} while (r == 0 && missed(watch) && --tries > 0);
	sd_event_source_disable_unref(old);
	if (r < 0)
		log_line(LOG_WARNING,
			"%s: changes will not be noticed (%s); tell the service by 'systemctl reload vfio-broker'",
			directory, strerror(-r));
}

static void watch_all(struct reload *reload)
{
	for (size_t i = 0; reload->directories[i]; i++)
		watch_directory(reload, &reload->watches[i], reload->directories[i]);
}

/* ---- the result ---- */

static bool is_mistake(const struct broker *broker)
{
	return !broker->policy_unread && !hold_hung_reader(broker);
}

/* `systemctl status` shows STATUS at once; READY also ends the reload that RELOADING began. */
void reload_tell(const struct broker *broker)
{
	char state[HOLD_TROUBLE_SIZE + 128], trouble[HOLD_TROUBLE_SIZE];

	hold_trouble(broker, trouble);
	if (trouble[0])
		snprintf(state, sizeof state, "READY=1\nSTATUS=The policy files %s, %s: %s",
			is_mistake(broker) ? "have a mistake" : "cannot be read",
			broker->policy ? "the policy of before is in force" : "nobody gets a device", trouble);
	else if (!broker->policy)
		snprintf(state, sizeof state, "READY=1\nSTATUS=The policy files are being read");
	else
		snprintf(state, sizeof state, "READY=1\nSTATUS=%zu policy rules in force", broker->policy->count);
	notify_send(state, NULL, 0);
}

static void tell_begin(const struct broker *broker)
{
	char state[96];

	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, loop_now(broker->event));
	notify_send(state, NULL, 0);
}

/* Swaps the policies. Only leases refer to rules, and review_leases() moves all leases to the new policy before the
 * old policy is freed. */
static void adopt(struct broker *broker, struct policy *policy)
{
	struct policy *old = broker->policy;

	broker->policy = policy;
	broker->policy_error = (struct policy_error){0};
	broker->policy_unread = false;
	broker->policy_since_us = loop_now(broker->event);
	session_find_owners(broker);
	review_leases(broker);
	policy_free(old);
}

static void take_policy(struct reload *reload, struct policy *policy)
{
	const struct audit_event event = {.kind = CHANGE_POLICY};

	for (size_t i = 0; i < policy->warnings.count; i++)
		log_line(LOG_WARNING, "%s", policy->warnings.words[i]);
	if (policy->count == 0)
		log_line(LOG_NOTICE,
			"there is no policy rule, so no device will be leased; write one into %s, see "
			"vfio-broker.policy(5)",
			reload->directories[0]);
	audit_record(reload->broker, &event, "policy: %zu rules are in force now (read because %s)", policy->count,
		reload->why);
	adopt(reload->broker, policy);
}

/* The files are not in force. IS_UNREAD: not because of a mistake. The same trouble is told once. */
static void take_error(struct reload *reload, const struct policy_error *error, bool is_unread)
{
	struct broker *broker = reload->broker;
	const struct audit_event event = {.kind = CHANGE_POLICY, .level = LOG_ERR};
	bool is_known = is_unread && broker->policy_unread && strcmp(broker->policy_error.text, error->text) == 0;

	broker->policy_error = *error;
	broker->policy_unread = is_unread;
	if (!is_known)
		audit_record(broker, &event, "the policy files %s (read because %s), %s: %s",
			is_unread ? "cannot be read" : "have a mistake", reload->why,
			broker->policy ? "the policy of before stays in force" : "nobody gets a device", error->text);
}

/* ---- reading ---- */

static void begin(struct reload *reload);

/* Requests go on, by the policy in force. */
static void stop_waiting(struct broker *broker)
{
	broker->policy_awaited = false;
	hold_resume(broker);
	reload_tell(broker);
}

/* All readers that there may be hang. */
static bool is_full(const struct broker *broker, struct policy_reader **ret_oldest)
{
	struct policy_reader *reader;
	unsigned int count = 0;

	LIST_FOREACH(reader, &broker->policy_readers, in_broker) {
		*ret_oldest = reader;
		count++;
	}
	return count >= POLICY_READERS_MAX;
}

static int on_retry(sd_event_source *source, uint64_t now, void *userdata)
{
	(void)source;
	(void)now;
	begin(userdata);
	return 0;
}

static void retry(struct reload *reload, uint64_t delay_us)
{
	if (loop_timer(reload->event, &reload->retry, delay_us, on_retry, reload) < 0)
		log_line(LOG_ERR, "no memory to read the policy files; 'systemctl reload vfio-broker' tries again");
}

/* No reader, or a reader that died: a mistake of nobody who writes policies. */
static void take_failure(struct reload *reload, const struct policy_error *error)
{
	take_error(reload, error, true);
	retry(reload, POLICY_RETRY_US);
}

/* A reader has ended. */
static void on_ended(void *context, struct policy_reader *reader)
{
	struct reload *reload = context;
	struct broker *broker = reload->broker;
	struct policy_stream *stream = &reader->stream;
	bool is_wanted = !reader->is_superseded;
	struct policy *policy = is_wanted && stream->state == STREAM_DONE ? policy_stream_take(stream) : NULL;
	enum policy_stream_state state = stream->state;
	struct policy_error error = stream->error;

	policy_reader_free(reader);
	if (is_wanted) {
		sd_event_source_set_enabled(reload->deadline, SD_EVENT_OFF);
		if (policy)
			take_policy(reload, policy);
		else if (state == STREAM_MISTAKE)
			take_error(reload, &error, false);
		else
			take_failure(reload, &error);
	}
	/* Requests that wait go on waiting if the files have changed since. */
	if (reload->again)
		begin(reload);
	else if (is_wanted)
		stop_waiting(broker);
}

/* The service starts, and so does the reader: there is no policy of before, and nobody should hear that no rule is
 * there because the machine is slow. */
static bool is_starting(const struct broker *broker)
{
	bool has_failed = broker->policy_error.text[0] && !broker->policy_unread;

	return !broker->policy && !has_failed && loop_now(broker->event) < broker->started_us + POLICY_START_US;
}

static int on_deadline(sd_event_source *source, uint64_t now, void *userdata)
{
	struct reload *reload = userdata;
	struct broker *broker = reload->broker;
	struct audit_event event = {.kind = CHANGE_POLICY, .level = LOG_ERR};
	char trouble[HOLD_TROUBLE_SIZE];

	(void)source;
	(void)now;
	if (is_starting(broker) &&
		loop_timer(reload->event, &reload->deadline, POLICY_READ_US, on_deadline, reload) == 0)
		return 0;
	policy_reader_hangs(LIST_FIRST(&broker->policy_readers));
	audit_record(broker, &event, "the policy files cannot be read (because %s), %s: %s", reload->why,
		broker->policy ? "the policy of before stays in force" : "nobody gets a device",
		hold_trouble(broker, trouble));
	stop_waiting(broker);
	if (reload->again)
		begin(reload);
	return 0;
}

/* Begins a read, or notes that another has to follow. */
static void begin(struct reload *reload)
{
	struct broker *broker = reload->broker;
	struct policy_reader *newest = LIST_FIRST(&broker->policy_readers), *oldest;
	uint64_t now = loop_now(broker->event);
	struct policy_error error = {0};
	int r;

	reload->again = true;
	if (newest && !newest->hangs)
		return;
	if (is_full(broker, &oldest) && now < oldest->since_us + POLICY_GIVE_UP_US) {
		retry(reload, oldest->since_us + POLICY_GIVE_UP_US - now);
		return;
	}
	if (is_full(broker, &oldest))
		policy_reader_free(oldest);
	reload->again = false;
	reload->why = reload->next_why;
	if (reload->retry)
		sd_event_source_set_enabled(reload->retry, SD_EVENT_OFF);
	r = policy_reader_begin(broker, on_ended, reload);
	if (r == 0)
		r = loop_timer(reload->event, &reload->deadline, POLICY_READ_US, on_deadline, reload);
	if (r < 0) {
		snprintf(error.text, sizeof error.text, "%s: %s (is vfio-policy.socket started?)",
			broker->options->policy_socket, strerror(-r));
		take_failure(reload, &error);
		stop_waiting(broker);
		return;
	}
	broker->policy_awaited = true;
}

void reload_begin(struct reload *reload, const char *why)
{
	reload->next_why = why;
	begin(reload);
}

void reload_now(struct reload *reload, const char *why)
{
	struct broker *broker = reload->broker;

	if (broker->stopping)
		return;
	reload->changed = false;
	if (reload->timer)
		sd_event_source_set_enabled(reload->timer, SD_EVENT_OFF);
	/* Directories may have come or gone. The watch comes before the read, so that no change is missed. */
	watch_all(reload);
	tell_begin(broker);
	reload_begin(reload, why);
}

/* ---- changes ---- */

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
	struct reload *reload = userdata;

	(void)source;
	(void)now;
	/* A read that somebody has asked for, and that has yet to begin, is still because of that. */
	reload_now(reload, reload->again ? reload->next_why : "a file has changed");
	return 0;
}

/* Waits until there is quiet, because changes come in several steps and files in several pieces; at most
 * RELOAD_PATIENCE_US. */
static void change(struct reload *reload)
{
	struct broker *broker = reload->broker;
	uint64_t now = loop_now(broker->event), delay = RELOAD_QUIET_US;

	if (!reload->changed)
		reload->change_us = now;
	reload->changed = true;
	if (now + delay > reload->change_us + RELOAD_PATIENCE_US)
		delay = now > reload->change_us + RELOAD_PATIENCE_US ? 0 : reload->change_us + RELOAD_PATIENCE_US - now;
	if (loop_timer(broker->event, &reload->timer, delay, on_timer, reload) < 0)
		log_line(LOG_ERR,
			"policy files have changed, but there is no memory to read them; 'systemctl reload "
			"vfio-broker' tries again");
}

/* A new file that its author still has to write: the policy is read when the file is closed. Links are complete at
 * once. */
static bool unwritten(const struct reload_dir *watch, const struct inotify_event *event)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct statx st;

	if (!(event->mask & IN_CREATE))
		return false;
	snprintf(path, sizeof path, "%s/%s", watch->path, event->name);
	/* A file system that would have to ask somebody is not asked. */
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		       STATX_TYPE | STATX_NLINK, &st) == 0 &&
		S_ISREG(st.stx_mode) && st.stx_nlink == 1;
}

static int on_inotify(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
	struct reload_dir *watch = userdata;
	const char *name = event->len > 0 ? event->name : "";

	(void)source;
	if (event->mask & WATCH_ENDS)
		change(watch->reload);
	else if (watch->awaited[0]) {
		if (strcmp(name, watch->awaited) == 0)
			change(watch->reload);
	} else if (policy_file_name(name) && !unwritten(watch, event)) {
		/* IN_MODIFY: somebody writes to the file. That prolongs a wait for quiet, and begins none. */
		if (!(event->mask & IN_MODIFY) || watch->reload->changed)
			change(watch->reload);
	}
	return 0;
}

void reload_init(struct reload *reload, sd_event *event, const char *const *directories, struct broker *broker)
{
	*reload = (struct reload){.broker = broker, .event = event, .directories = directories};
	watch_all(reload);
}

void reload_clear(struct reload *reload)
{
	struct policy_reader *reader;

	for (size_t i = 0; i < RELOAD_DIRECTORIES_MAX; i++)
		sd_event_source_disable_unref(reload->watches[i].source);
	sd_event_source_disable_unref(reload->timer);
	sd_event_source_disable_unref(reload->deadline);
	sd_event_source_disable_unref(reload->retry);
	while ((reader = LIST_FIRST(&reload->broker->policy_readers)))
		policy_reader_free(reader);
}
