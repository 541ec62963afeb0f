/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "verdict.h"
#include "vfio-broker.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * restart-revokes DEVICE: opens it and takes it back from itself, by another session, in a loop, while somebody kills
 * the broker, until standard input ends. Each REVOKE has to be done, and done once: who opens the device next keeps it
 * until the next one. For root.
 */

static unsigned long rounds, unseen;
static char complaint[512];

static bool fine(const char *step, int r, int expected)
{
	char text[300];

	if (r == expected)
		return true;
	snprintf(complaint, sizeof complaint, "round %lu: %s: %s", rounds, step,
		r ? vbroker_describe_result(r, text, sizeof text) : "is a success");
	return false;
}

/*
 * A broker that was killed when the device was free already leaves nothing that the next one could tell by; so that one
 * must have been started since.
 */
static bool done_before(
	struct vbroker_session *administrator, const struct vbroker_revocation *revocation, uint64_t asked)
{
	struct vbroker_status status;

	return revocation->result == VBROKER_REVOKE_NOBODY && vbroker_session_status(administrator, &status) == 0 &&
		status.uptime_us < clock_us() - asked;
}

static bool check_answer(
	struct vbroker_session *administrator, const struct vbroker_revocation *revocation, uint64_t asked)
{
	if (done_before(administrator, revocation, asked)) {
		unseen++;
		return true;
	}
	if (revocation->result == VBROKER_REVOKE_COMPLETE && revocation->holder.pid == (uint32_t)getpid())
		return true;
	snprintf(complaint, sizeof complaint, "round %lu: the answer is %d, holder %d: %s", rounds, revocation->result,
		(int)revocation->holder.pid, revocation->detail);
	return false;
}

static bool do_round(struct vbroker_session *holder, struct vbroker_session *administrator, const char *name)
{
	struct vbroker_revocation revocation;
	struct vbroker_device *device;
	uint64_t asked;
	bool good;

	if (!fine("open", vbroker_device_open(holder, name, &device), 0))
		return false;
	asked = clock_us();
	good = fine("ping of a device that is held", vbroker_device_ping(device), 0) &&
		fine("revoke", vbroker_session_revoke(administrator, name, 0, &revocation), 0) &&
		check_answer(administrator, &revocation, asked) &&
		fine("ping of a device that was taken back", vbroker_device_ping(device), VBROKER_REVOKED);
	vbroker_device_close(device);
	rounds++;
	return good;
}

int main(int argc, char **argv)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};
	struct vbroker_session *holder, *administrator;
	bool good;

	if (argc != 2)
		return 2;
	vbroker_set_timeout(-1);
	if (vbroker_session_open(NULL, &holder) != 0 || vbroker_session_open(NULL, &administrator) != 0)
		verdict_die("session");
	printf("running\n");
	fflush(stdout);
	do
		good = do_round(holder, administrator, argv[1]);
	while (good && poll(&input, 1, 0) == 0);
	vbroker_session_close(holder);
	vbroker_session_close(administrator);
	verdict(good, "each device that was taken back was, and stayed with who had it next%s%s",
		complaint[0] ? ": " : "", complaint);
	printf("# %lu revocations, of which %lu were done before a broker that was asked again could see them\n",
		rounds, unseen);
	return verdict_failures > 0;
}
