/* SPDX-License-Identifier: MIT */
#include "base/store.h"

#include "base/limits.h"
#include "base/notify.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const formats[] = {
	[STORE_KEEPER] = "group-%" PRIu64,
	[STORE_FRONT] = "front-%" PRIu64,
	[STORE_HELPER] = "helper-%" PRIu64,
};
#define NAME_SIZE 40
#define KINDS	  (sizeof formats / sizeof formats[0])

/* Of brokers before fronts. */
#define SESSION_FORMAT "session-%" PRIx64 "-%" PRIx64

/* The names of all stored descriptors are one environment variable. */
static_assert(STORE_MAX * sizeof "helper-18446744073709551615:" < 128 * 1024 - 1024,
	"LISTEN_FDNAMES would not fit in one argument of exec (MAX_ARG_STRLEN), and the service could not be started");

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void name_of(enum store_kind kind, uint64_t number, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, formats[kind], number);
}

static bool is_named(const char *name, enum store_kind kind, uint64_t *ret_number)
{
	char again[NAME_SIZE];

	if (sscanf(name, formats[kind], ret_number) != 1)
		return false;
	/* Exactly as name_of() writes: sscanf() alone would take blanks, signs and a longer name. */
	name_of(kind, *ret_number, again);
	return strcmp(name, again) == 0;
}
#pragma GCC diagnostic pop

bool store_put(enum store_kind kind, uint64_t number, const int *fds, unsigned int count)
{
	char name[NAME_SIZE], state[NAME_SIZE + 40];

	name_of(kind, number, name);
	snprintf(state, sizeof state, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return notify_send(state, fds, count);
}

void store_forget(enum store_kind kind, uint64_t number)
{
	char name[NAME_SIZE], state[NAME_SIZE + 40];

	name_of(kind, number, name);
	snprintf(state, sizeof state, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	notify_send(state, NULL, 0);
}

static bool is_session(const char *name)
{
	uint64_t session, started;

	return sscanf(name, SESSION_FORMAT, &session, &started) == 2;
}

bool store_parse(const char *name, struct stored *ret_stored)
{
	for (enum store_kind kind = 0; kind < KINDS; kind++) {
		uint64_t number;

		if (!is_named(name, kind, &number))
			continue;
		*ret_stored = (struct stored){.fd = -1, .kind = kind, .number = number};
		return true;
	}
	if (!is_session(name))
		return false;
	*ret_stored = (struct stored){.fd = -1, .kind = STORE_SESSION};
	return true;
}
