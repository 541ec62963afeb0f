/* SPDX-License-Identifier: MIT */
#include "broker_world.h"

#include "front_process.h"
#include "helper_process.h"
#include "input.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const struct broker_world *made; /* for atexit() */

/* Calls VISIT for each record of the directory at PATH. Returns how many there were. */
static unsigned int records(const char *path, void (*visit)(DIR *dir, const char *name))
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	unsigned int count = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (visit)
			visit(dir, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void remove_record(DIR *dir, const char *name)
{
	unlinkat(dirfd(dir), name, 0);
}

unsigned int broker_world_claims(const struct broker_world *world)
{
	return records(world->claims, NULL);
}

void broker_world_clear(const struct broker_world *world)
{
	records(world->claims, remove_record);
	records(world->quarantine, remove_record);
}

static void clean_up(void)
{
	broker_world_clear(made);
	rmdir(made->claims);
	rmdir(made->quarantine);
	unlink(made->client_socket);
	unlink(made->keeper_socket);
	unlink(made->front_socket);
	unlink(made->helper_socket);
	rmdir(made->directory);
}

static void make_directory(char *path, size_t size, const char *parent, const char *name)
{
	snprintf(path, size, "%s/%s", parent, name);
	INPUT_ASSERT(mkdir(path, 0700) == 0);
}

/* Makes PATH, of SIZE bytes, and listens there. */
static int listen_at(const struct broker_world *world, const char *name, char *path, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(path, size, "%s/%s.sock", world->directory, name);
	strcpy(address.sun_path, path);
	INPUT_ASSERT(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 64) == 0);
	return fd;
}

void broker_world_make(struct broker_world *world, const char *name)
{
	const char *parent = getenv("TMPDIR");

	snprintf(world->directory, sizeof world->directory, "%s/%s.XXXXXX", parent ? parent : "/tmp", name);
	INPUT_ASSERT(mkdtemp(world->directory));
	make_directory(world->claims, sizeof world->claims, world->directory, "claims");
	make_directory(world->quarantine, sizeof world->quarantine, world->directory, "quarantine");
	world->client_listener = listen_at(world, "broker", world->client_socket, sizeof world->client_socket);
	world->keeper_listener = listen_at(world, "keeper", world->keeper_socket, sizeof world->keeper_socket);
	world->front_listener = listen_at(world, "front", world->front_socket, sizeof world->front_socket);
	world->helper_listener = listen_at(world, "helper", world->helper_socket, sizeof world->helper_socket);
	made = world;
	atexit(clean_up);
}

/* ---- clients ---- */

/* In the abstract namespace: nothing is left behind. */
#define CLIENT_FORMAT "fuzz-%d-%u-"

int broker_world_listener(const struct broker_world *world)
{
	int fd = fcntl(world->client_listener, F_DUPFD_CLOEXEC, 3);

	INPUT_ASSERT(fd >= 0);
	return fd;
}

int broker_world_connect(const struct broker_world *world, unsigned int client)
{
	static unsigned int number;
	struct sockaddr_un own = {.sun_family = AF_UNIX}, address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(own.sun_path + 1, sizeof own.sun_path - 1, CLIENT_FORMAT "%u", getpid(), client, number++);
	strcpy(address.sun_path, world->client_socket);
	INPUT_ASSERT(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

int broker_world_client(int fd)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof address;
	unsigned int client;
	int pid;

	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0 || size <= offsetof(struct sockaddr_un, sun_path))
		return -1;
	return sscanf(address.sun_path + 1, CLIENT_FORMAT, &pid, &client) == 2 ? (int)client : -1;
}

/* ---- processes ---- */

static int next(int listener)
{
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

bool broker_world_start_processes(const struct broker_world *world)
{
	int fd, count = 0;

	for (; front_process_running() < FRONT_SLOTS && (fd = next(world->front_listener)) >= 0; count++)
		INPUT_ASSERT(front_process_start(fd) >= 0);
	for (; helpers_running() < HELPER_SLOTS && (fd = next(world->helper_listener)) >= 0; count++)
		helpers_start(fd);
	return count > 0;
}

void broker_world_turn_away(const struct broker_world *world)
{
	const int listeners[] = {world->client_listener, world->front_listener, world->helper_listener};
	int fd;

	for (size_t i = 0; i < sizeof listeners / sizeof listeners[0]; i++) {
		while ((fd = next(listeners[i])) >= 0)
			close(fd);
	}
}
