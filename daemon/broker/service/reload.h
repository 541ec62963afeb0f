/* SPDX-License-Identifier: MIT */
#ifndef BROKER_RELOAD_H
#define BROKER_RELOAD_H

#include "state/broker.h"

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define RELOAD_DIRECTORIES_MAX 8

/*
 * Keeps the policy in force equal to the files on disk: has the files read at the start, on SIGHUP, and when inotify
 * has seen a change and then nothing for a moment. All or nothing: a mistake in any file leaves the old policy in
 * force, and broker->policy_error says why.
 *
 * Another process reads (service/policy_reader.h), for at most POLICY_READ_US; meanwhile requests that need the policy
 * wait (request/hold.h). After that time the reader hangs: requests go on, and its answer is taken if it comes before
 * another read has begun.
 */
struct reload {
	struct broker *broker;
	sd_event *event;		/* borrowed */
	const char *const *directories; /* borrowed; ended by NULL */
	struct reload_dir {
		struct reload *reload;
		const char *directory;	    /* the policy directory to be watched */
		char path[PATH_MAX];	    /* under watch: the directory, or a parent of the directory ... */
		char awaited[NAME_MAX + 1]; /* ... where this name has to appear first; empty: the directory itself */
		sd_event_source *source;    /* NULL: unused */
	} watches[RELOAD_DIRECTORIES_MAX];
	const char *why;	   /* a constant: the cause of the read that is under way ... */
	const char *next_why;	   /* ... and of the read that follows */
	bool again;		   /* another read has to follow the read that is under way */
	sd_event_source *deadline; /* of the read that is under way */
	sd_event_source *retry;
	sd_event_source *timer;
	uint64_t change_us; /* when the first change came that has not been read yet */
	bool changed;
};

/*
 * Watches DIRECTORIES, at most RELOAD_DIRECTORIES_MAX, from now on; a directory may appear later. Called before the
 * policy is read for the first time, so that no change falls between watch and read. BROKER has to outlive RELOAD, and
 * is used by EVENT's loop only. A failure to watch a directory is logged.
 */
void reload_init(struct reload *reload, sd_event *event, const char *const *directories, struct broker *broker);
void reload_clear(struct reload *reload);

/* Tells systemd that the service is ready, and which policy is in force. */
void reload_tell(const struct broker *broker);

/* Has the policy read for the first time; WHY, a constant, goes to the log. */
void reload_begin(struct reload *reload, const char *why);

/* Has the policy read again; requests from now on are answered by the result. */
void reload_now(struct reload *reload, const char *why);

#endif
