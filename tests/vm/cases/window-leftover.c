/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * A client that keeps the descriptors and the mappings of revoked windows, and whom nobody can make let go, is in
 * nobody's way: neither VFIO's nor its drivers'. Only this module stays.
 */

#define COUNT	 64
#define PATIENCE 60.0 /* seconds: the host may be busy, and who waits for the client waits for ever */

enum step { CLOSE, UNMAP };

static bool all(uint8_t *const windows[2], int signal)
{
	return ground_count(windows[0], COUNT, 8, SIGBUS, 0) == COUNT &&
		ground_count(windows[1], COUNT, 8, signal, UINT64_MAX) == COUNT;
}

/* Holds two windows, the second of which gives ones. Answers 0 if it sees what it should. */
static void client(int socket)
{
	uint8_t *windows[2];
	int fds[2];

	for (unsigned i = 0; i < 2; i++) {
		peer_receive(socket, &fds[i]);
		windows[i] = raw_map(fds[i], PROT_READ, COUNT * PAGE, 0);
	}
	peer_send(socket, !ground_seen(windows[0], 0, COUNT) + !ground_seen(windows[1], 0, COUNT), -1);
	/* Until it is told to close them, it is asked what it sees: 0 for what a revoked window gives. */
	while (peer_receive(socket, NULL) != CLOSE + 1)
		peer_send(socket, !all(windows, 0), -1);
	peer_send(socket, close(fds[0]) + close(fds[1]), -1);
	while (peer_receive(socket, NULL) != UNMAP + 1)
		peer_send(socket, !all(windows, 0), -1);
	peer_send(socket, munmap(windows[0], COUNT * PAGE) + munmap(windows[1], COUNT * PAGE), -1);
	peer_receive(socket, NULL);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Something that began at @since has ended with @result, which should be 0, by now. */
static void in_time(const char *what, double since, long result)
{
	double seconds = now() - since;

	if (!verdict(result == 0 && seconds < PATIENCE, "with a client's leftovers: %s", what))
		printf("# result %ld, after %.1f s\n", result, seconds);
}

static void check_release(struct raw_vfio *vfio)
{
	double since = now();

	in_time("the device can be closed", since, close(vfio->device));
	since = now();
	/* This is EBUSY as long as a device of the group is open. */
	in_time("the group can leave its container", since,
		verdict_result(ioctl(vfio->group, VFIO_GROUP_UNSET_CONTAINER)));
	close(vfio->group);
	close(vfio->container);
	since = now();
	raw_unbind(window_memory);
	in_time("vfio-pci can be unbound", since, 0);
}

static long unload(const char *module)
{
	return verdict_result(syscall(SYS_delete_module, module, O_NONBLOCK));
}

/* modprobe, or insmod of $WINDOW_MODULE */
static void load(void)
{
	if (system("modprobe -q vfio_window 2>/dev/null || insmod \"$WINDOW_MODULE\"") != 0)
		verdict_die("loading vfio_window");
}

static void check_drivers(const struct peer *peer)
{
	double since = now();

	if (access("/sys/module/vfio_pci/initstate", F_OK) < 0) {
		verdict_skip("with a client's leftovers: vfio_pci can be removed", "it is built in");
	} else {
		in_time("vfio_pci can be removed", since, system("modprobe -r vfio_pci"));
		verdict(access("/sys/module/vfio_pci", F_OK) < 0, "it is gone");
		verdict_is("what the client sees has not changed then", peer_ask(peer, 0, -1), 0);
		if (system("modprobe vfio_pci") != 0)
			verdict_die("modprobe vfio_pci");
	}
}

/* The device's new life: windows over it work, and the old ones do not come back. */
static void check_next_life(const struct peer *peer)
{
	struct ground ground;
	uint8_t *window;
	int fd;

	raw_bind(window_memory);
	ground_open(&ground);
	fd = ground_window(&ground, VFIO_WINDOW_FLAG_WRITE, 0, COUNT);
	window = raw_map(fd, PROT_READ | PROT_WRITE, COUNT * PAGE, 0);
	verdict(ground_seen(window, 0, COUNT), "with a client's leftovers: bound again, the device has new windows");
	verdict_is("the old ones stay as they were", peer_ask(peer, 0, -1), 0);
	munmap(window, COUNT * PAGE);
	close(fd);
	ground_close(&ground);
}

static void check_unloading(struct peer *peer)
{
	verdict_is("the module cannot be unloaded: windows are open and mapped", unload("vfio_window"), -EAGAIN);
	verdict_is("the client closes its windows", peer_ask(peer, CLOSE + 1, -1), 0);
	verdict_is("the module cannot be unloaded: windows are mapped", unload("vfio_window"), -EAGAIN);
	verdict_is("the client still sees what it should", peer_ask(peer, 0, -1), 0);
	verdict_is("the client unmaps its windows", peer_ask(peer, UNMAP + 1, -1), 0);
	verdict_is("the module can be unloaded", unload("vfio_window"), 0);
	verdict(access(VFIO_WINDOW_NODE, F_OK) < 0, "the control node is gone");
	load();
}

void window_leftover(void)
{
	struct ground ground;
	struct peer peer;
	int first, second, control;

	peer_start(&peer, client);
	ground_open(&ground);
	first = ground_window(&ground, 0, 0, COUNT);
	second = ground_window(&ground, VFIO_WINDOW_FLAG_ONES, 0, COUNT);
	peer_send(peer.socket, 0, first);
	verdict_is("a client sees two windows", peer_ask(&peer, 0, second), 0);
	close(first);
	close(second);
	munmap(ground.direct, ground.bar.size);
	raw_revoke(ground.control);
	verdict_is("they are revoked", peer_ask(&peer, 0, -1), 0);
	check_release(&ground.vfio);
	verdict_is("what the client sees has not changed", peer_ask(&peer, 0, -1), 0);
	check_drivers(&peer);
	check_next_life(&peer);
	close(ground.control);
	check_unloading(&peer);
	control = raw_control();
	verdict_is("the module cannot be unloaded: a control file is open", unload("vfio_window"), -EAGAIN);
	close(control);
	peer_send(peer.socket, 0, -1);
	peer_end(&peer);
}
