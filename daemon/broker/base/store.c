/* SPDX-License-Identifier: MIT */
#include "base/store.h"

#include "base/limits.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Hexadecimal, because the names of all stored sockets are one environment variable (limits.h). */
#define SESSION_FORMAT "session-%" PRIx64 "-%" PRIx64
#define KEEPER_FORMAT  "group-%" PRIu32
#define HELPER_FORMAT  "helper-%" PRIu32

static_assert(STORE_MAX * sizeof "session-0123456789abcdef-0123456789abcdef:" < 128 * 1024 - 1024,
	"LISTEN_FDNAMES would not fit in one argument of exec (MAX_ARG_STRLEN), and the service could not be started");

static bool notify(const char *state, const int *fds, unsigned int count)
{
	/* The environment stays: the next call needs $NOTIFY_SOCKET as well. 0: there is no systemd. */
	int r = sd_pid_notify_with_fds(0, 0, state, fds, count);

	if (r < 0)
		log_line(LOG_WARNING, "systemd's fd store: %s: a restart would end this connection", strerror(-r));
	return r > 0;
}

bool store_session(int fd, uint64_t session, uint64_t started)
{
	char state[96];

	snprintf(state, sizeof state, "FDSTORE=1\nFDNAME=" SESSION_FORMAT, session, started);
	return notify(state, &fd, 1);
}

bool store_keeper(int fd, uint32_t group)
{
	char state[96];

	snprintf(state, sizeof state, "FDSTORE=1\nFDPOLL=0\nFDNAME=" KEEPER_FORMAT, group);
	return notify(state, &fd, 1);
}

void store_forget_keeper(uint32_t group)
{
	char state[96];

	snprintf(state, sizeof state, "FDSTOREREMOVE=1\nFDNAME=" KEEPER_FORMAT, group);
	notify(state, NULL, 0);
}

bool store_helper(int fd, int note, uint32_t number)
{
	const int fds[] = {fd, note};
	char state[96];

	snprintf(state, sizeof state, "FDSTORE=1\nFDPOLL=0\nFDNAME=" HELPER_FORMAT, number);
	return notify(state, fds, note < 0 ? 1 : 2);
}

void store_forget_helper(uint32_t number)
{
	char state[96];

	snprintf(state, sizeof state, "FDSTOREREMOVE=1\nFDNAME=" HELPER_FORMAT, number);
	notify(state, NULL, 0);
}

bool store_parse(const char *name, struct stored *ret_stored)
{
	struct stored stored = {.fd = -1};
	char again[96];

	/* Exactly as store_session() and the others write: sscanf() alone would take blanks, signs and a longer
	 * name. */
	if (sscanf(name, SESSION_FORMAT, &stored.session, &stored.started) == 2) {
		snprintf(again, sizeof again, SESSION_FORMAT, stored.session, stored.started);
	} else if (sscanf(name, KEEPER_FORMAT, &stored.group) == 1) {
		stored.is_keeper = true;
		snprintf(again, sizeof again, KEEPER_FORMAT, stored.group);
	} else if (sscanf(name, HELPER_FORMAT, &stored.helper) == 1) {
		stored.is_helper = true;
		snprintf(again, sizeof again, HELPER_FORMAT, stored.helper);
	} else {
		return false;
	}
	if (strcmp(name, again) != 0)
		return false;
	*ret_stored = stored;
	return true;
}
