/* SPDX-License-Identifier: MIT */
#include "request/hold.h"

#include "base/loop.h"
#include "request/session.h"
#include "state/waiter.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct held {
	struct waiter waiter; /* first */
	channel_handler handler;
	struct message_header header;
	char payload[];
};

static void cancel(struct waiter *waiter)
{
	waiter_leave(waiter);
	free(waiter);
}

static const struct waiter_kind waits_for_policy = {.cancel = cancel};

int hold_request(
	channel_handler handler, void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	struct session *session = context;
	struct held *held;

	if (!session->broker->policy_awaited)
		return handler(context, request, reply, detail);
	held = calloc(1, sizeof *held + request->header.length);
	if (!held)
		return -ENOMEM;
	held->handler = handler;
	held->header = request->header;
	memcpy(held->payload, request->payload, request->header.length);
	waiter_enlist(&held->waiter, &waits_for_policy, session, &session->broker->held);
	return CHANNEL_LATER;
}

static void serve(struct broker *broker, struct held *held)
{
	struct packet *request = &broker->buffers.request, *reply = &broker->buffers.reply;
	struct session *session = held->waiter.session;
	struct detail detail = {0};
	int r;

	packet_clear(request);
	request->header = held->header;
	memcpy(request->payload, held->payload, held->header.length);
	packet_reply(reply, &request->header);
	r = held->handler(session, request, reply, &detail);
	if (r != CHANNEL_LATER)
		session_answer(session, r, reply, &detail);
}

void hold_resume(struct broker *broker)
{
	struct waiter *waiter;

	assert(!broker->policy_awaited);
	while ((waiter = TAILQ_FIRST(&broker->held))) {
		waiter_leave(waiter);
		serve(broker, (struct held *)waiter);
		free(waiter);
	}
}

const struct policy_reader *hold_hung_reader(const struct broker *broker)
{
	const struct policy_reader *newest = LIST_FIRST(&broker->policy_readers);

	return newest && newest->hangs && !newest->is_superseded ? newest : NULL;
}

const char *hold_trouble(const struct broker *broker, char buffer[HOLD_TROUBLE_SIZE])
{
	const struct policy_reader *reader = hold_hung_reader(broker);
	unsigned long long seconds = reader ? (loop_now(broker->event) - reader->since_us) / 1000000 : 0;

	if (!reader)
		snprintf(buffer, HOLD_TROUBLE_SIZE, "%s", broker->policy_error.text);
	else if (reader->stream.pid == 0)
		snprintf(buffer, HOLD_TROUBLE_SIZE,
			"its reader has not started for %llu s; 'systemctl status vfio-policy.socket' may say why",
			seconds);
	else
		snprintf(buffer, HOLD_TROUBLE_SIZE,
			"its reader (pid %u) has hung for %llu s; it waits for a policy file or for a service that "
			"knows users' names: 'cat /proc/%u/stack' says for what",
			reader->stream.pid, seconds, reader->stream.pid);
	return buffer;
}

int hold_no_policy(const struct broker *broker, struct detail *detail)
{
	char trouble[HOLD_TROUBLE_SIZE];

	hold_trouble(broker, trouble);
	if (!broker->policy_error.text[0] || strcmp(trouble, broker->policy_error.text) != 0)
		return refuse(
			detail, REFUSAL_DENIED, "the policy is not read yet%s%s", trouble[0] ? ": " : "", trouble);
	return refuse(detail, REFUSAL_DENIED, "nobody gets anything, the policy cannot be read: %s", trouble);
}
