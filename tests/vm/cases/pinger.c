/* SPDX-License-Identifier: MIT */
/*
 * pinger: a user of the broker who does nothing wrong. For each line on standard input, prints how long two PINGs took:
 * "PING: N us, of a new connection: N us"; for the second, connecting and HELLO count. "none" instead of a number: there
 * was no answer in time.
 */
#include "raw-client.h"
#include "verdict.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS 8000

static void say(const char *what, long us)
{
	if (us >= 0)
		printf("%s: %ld us", what, us);
	else
		printf("%s: none (%s)", what, strerrorname_np((int)-us));
}

static long ping_anew(void)
{
	struct timespec before, after;
	int fd;
	long r;

	clock_gettime(CLOCK_MONOTONIC, &before);
	fd = raw_connect();
	r = raw_hello(fd, ANSWER_MS);
	if (r == 0)
		r = raw_ping(fd, ANSWER_MS);
	clock_gettime(CLOCK_MONOTONIC, &after);
	close(fd);
	return r < 0 ? r : (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
}

int main(void)
{
	int fd = raw_connect();
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (raw_hello(fd, RAW_PATIENCE_MS) < 0 || raw_ping(fd, RAW_PATIENCE_MS) < 0)
		verdict_die("PING to begin with");
	printf("pinger: waiting\n");
	while (fgets(line, sizeof line, stdin)) {
		say("PING", raw_ping(fd, ANSWER_MS));
		say(", of a new connection", ping_anew());
		printf("\npinger: waiting\n");
	}
	return 0;
}
