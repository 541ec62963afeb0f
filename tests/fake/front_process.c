/* SPDX-License-Identifier: MIT */
#include "front_process.h"

#include "front.h"
#include "sessions.h"
#include "state.h"

#include <poll.h>
#include <sys/socket.h>

static struct slot {
	struct front front;
	bool used, stuck;
} slots[FRONT_SLOTS];

int front_process_start(int lifeline)
{
	for (int i = 0; i < FRONT_SLOTS; i++) {
		if (slots[i].used)
			continue;
		if (front_init(&slots[i].front, lifeline) < 0)
			return -1;
		slots[i].used = true;
		slots[i].stuck = false;
		return i;
	}
	return -1;
}

/* As front_step() waits. */
static bool has_work(const struct front *front)
{
	struct pollfd waits[] = {
		{.fd = front->blocked ? front->lifeline : front->epoll, .events = POLLIN | POLLRDHUP},
		{.fd = front->blocked ? front->control : -1, .events = POLLIN | POLLOUT | POLLRDHUP},
	};

	return poll(waits, 2, 0) > 0;
}

bool front_process_step(void)
{
	bool busy = false;

	for (size_t i = 0; i < FRONT_SLOTS; i++) {
		if (!slots[i].used || slots[i].stuck)
			continue;
		busy = has_work(&slots[i].front) || busy;
		if (front_step(&slots[i].front, 0))
			continue;
		front_release(&slots[i].front);
		slots[i].used = false;
		busy = true;
	}
	return busy;
}

void front_process_kill(size_t i)
{
	if (!slots[i].used)
		return;
	if (slots[i].front.control >= 0)
		shutdown(slots[i].front.control, SHUT_RDWR);
	front_release(&slots[i].front);
	slots[i].used = false;
}

void front_process_stick(size_t i, bool stuck)
{
	slots[i].stuck = stuck;
}

int front_process_control(size_t i)
{
	return slots[i].used ? slots[i].front.control : -1;
}

bool front_process_has(uint64_t session)
{
	for (size_t i = 0; i < FRONT_SLOTS; i++) {
		if (slots[i].used && sessions_find(&slots[i].front, session))
			return true;
	}
	return false;
}

size_t front_process_running(void)
{
	size_t count = 0;

	for (size_t i = 0; i < FRONT_SLOTS; i++)
		count += slots[i].used;
	return count;
}

void front_process_release(void)
{
	for (size_t i = 0; i < FRONT_SLOTS; i++)
		front_process_kill(i);
}
