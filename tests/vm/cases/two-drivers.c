/* SPDX-License-Identifier: MIT */
/*
 * two-drivers EDU EDU: one application owns a domain with two devices in it; each is driven by a process of its own, in
 * a sandbox, by a device channel and a domain channel. One driver's device writes a buffer by DMA, the other's reads
 * it, and back.
 */
#include "edu-registers.h"
#include "verdict.h"

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfio-broker.h>

#define SIZE 2048U

static const struct vbroker_budget budget = {1 << 20, 16, 16};

struct driver {
	struct vbroker_device *device;
	struct vbroker_domain_server *server;
	int channel; /* the driver's end of the domain channel */
	pid_t pid;
};

static void must(int result, const char *what)
{
	char text[256];

	if (result == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, vbroker_describe_result(result, text, sizeof text));
	_exit(3);
}

static void move(struct vbroker_device *device, uint64_t from, uint64_t to, uint32_t command)
{
	must(edu_dma(device, from, to, SIZE, command), "DMA");
}

/* ---- the drivers: FRIEND is the other one; they tell each other IOVAs, nothing else ---- */

/* What the parent has of both must not stay open here: a channel ends with its last copy. */
static struct vbroker_memory *become_driver(int device_fd, int channel, struct vbroker_device **ret_device)
{
	struct vbroker_memory *memory;
	struct vbroker_domain *domain;

	must(vbroker_device_adopt(device_fd, ret_device), "device channel");
	must(vbroker_domain_adopt(channel, &domain), "domain channel");
	must(vbroker_memory_alloc(domain, SIZE, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, 0, &memory), "memory");
	must(vbroker_sandbox_enter(), "sandbox");
	return memory;
}

static bool all_are(const struct vbroker_memory *memory, uint8_t byte)
{
	const uint8_t *bytes = vbroker_memory_address(memory);

	for (size_t i = 0; i < SIZE; i++) {
		if (bytes[i] != byte)
			return false;
	}
	return true;
}

/* Puts 0x11 into its device, has the device write it to the buffer, and gets 0x22 back there. */
static int first(int device_fd, int channel, int friend)
{
	struct vbroker_device *device;
	struct vbroker_memory *memory = become_driver(device_fd, channel, &device);
	uint64_t iova = vbroker_memory_iova(memory);
	char done;

	memset(vbroker_memory_address(memory), 0x11, SIZE);
	move(device, iova, EDU_BUFFER, EDU_DMA_TO_DEVICE);
	memset(vbroker_memory_address(memory), 0, SIZE);
	move(device, EDU_BUFFER, iova, EDU_DMA_FROM_DEVICE);
	if (write(friend, &iova, sizeof iova) != sizeof iova || read(friend, &done, 1) != 1)
		return 1;
	return all_are(memory, 0x22) ? 0 : 2;
}

/* Its device reads the other's buffer, and writes 0x22 there. */
static int second(int device_fd, int channel, int friend)
{
	struct vbroker_device *device;
	struct vbroker_memory *memory = become_driver(device_fd, channel, &device);
	uint64_t theirs, iova = vbroker_memory_iova(memory);

	if (read(friend, &theirs, sizeof theirs) != sizeof theirs)
		return 1;
	move(device, theirs, EDU_BUFFER, EDU_DMA_TO_DEVICE);
	move(device, EDU_BUFFER, iova, EDU_DMA_FROM_DEVICE);
	if (!all_are(memory, 0x11))
		return 2;
	memset(vbroker_memory_address(memory), 0x22, SIZE);
	move(device, iova, EDU_BUFFER, EDU_DMA_TO_DEVICE);
	move(device, EDU_BUFFER, theirs, EDU_DMA_FROM_DEVICE);
	return write(friend, "d", 1) == 1 ? 0 : 1;
}

/* ---- the application ---- */

/* Serves both channels until both drivers have closed theirs. */
static void serve(struct driver drivers[2])
{
	for (;;) {
		struct pollfd polled[2];

		for (int i = 0; i < 2; i++) {
			struct vbroker_domain_server *server = drivers[i].server;

			polled[i] = (struct pollfd){.fd = server ? vbroker_domain_server_fd(server) : -1,
				.events = server ? vbroker_domain_server_events(server) : (short)0};
		}
		if (!drivers[0].server && !drivers[1].server)
			return;
		if (poll(polled, 2, 20000) <= 0)
			verdict_die("poll");
		for (int i = 0; i < 2; i++) {
			if (!polled[i].revents || vbroker_domain_server_dispatch(drivers[i].server) == 0)
				continue;
			vbroker_domain_server_close(drivers[i].server);
			drivers[i].server = NULL;
		}
	}
}

int main(int argc, char **argv)
{
	static int (*const run[2])(int, int, int) = {first, second};
	static const char *const names[2] = {"the first driver gets its buffer back from the other's device",
		"the second driver's device reads the first one's buffer"};
	struct vbroker_session *session;
	struct vbroker_domain *domain;
	struct driver drivers[2];
	int friends[2], status;

	if (argc != 3)
		return 2;
	must(vbroker_session_open(NULL, &session), "session");
	must(vbroker_domain_open(&domain), "domain");
	for (int i = 0; i < 2; i++) {
		must(vbroker_device_open(session, argv[1 + i], &drivers[i].device), argv[1 + i]);
		must(vbroker_device_bind(drivers[i].device, domain), "bind");
		must(vbroker_domain_serve(domain, &budget, &drivers[i].server, &drivers[i].channel), "serve");
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, friends) < 0)
		verdict_die("socketpair");
	for (int i = 0; i < 2; i++) {
		drivers[i].pid = fork();
		if (drivers[i].pid == 0) {
			close(drivers[1 - i].channel);
			_exit(run[i](vbroker_device_fd(drivers[i].device), drivers[i].channel, friends[i]));
		}
	}
	close(drivers[0].channel);
	close(drivers[1].channel);
	serve(drivers);
	for (int i = 0; i < 2; i++) {
		if (waitpid(drivers[i].pid, &status, 0) < 0)
			verdict_die("waitpid");
		verdict(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", names[i]);
		if (status != 0)
			printf("# wait status %#x\n", (unsigned int)status);
		vbroker_device_close(drivers[i].device);
	}
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	return verdict_failures > 0;
}
