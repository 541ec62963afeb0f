/* SPDX-License-Identifier: MIT */
#include "sessions.h"

static int compare(const struct connection *a, const struct connection *b)
{
	return (a->session > b->session) - (a->session < b->session);
}

/* Not RB_GENERATE_STATIC: libbsd leaves its __unused to BSD's own headers. */
RB_GENERATE_INTERNAL(session_tree, connection, by_session, compare, __attribute__((unused)) static)

void sessions_init(struct front *front)
{
	RB_INIT(&front->sessions);
	front->sessions_count = 0;
}

struct connection *sessions_find(struct front *front, uint64_t session)
{
	struct connection wanted = {.session = session};

	return RB_FIND(session_tree, &front->sessions, &wanted);
}

struct connection *sessions_after(struct front *front, uint64_t session)
{
	struct connection wanted = {.session = session + 1};

	return RB_NFIND(session_tree, &front->sessions, &wanted);
}

void sessions_add(struct front *front, struct connection *connection)
{
	RB_INSERT(session_tree, &front->sessions, connection);
	front->sessions_count++;
}

void sessions_remove(struct front *front, struct connection *connection)
{
	RB_REMOVE(session_tree, &front->sessions, connection);
	front->sessions_count--;
}
