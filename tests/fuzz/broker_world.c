/* SPDX-License-Identifier: MIT */
#include "broker_world.h"

#include "input.h"

#include <dirent.h>
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
	unlink(made->keeper_socket);
	rmdir(made->directory);
}

static void make_directory(char *path, size_t size, const char *parent, const char *name)
{
	snprintf(path, size, "%s/%s", parent, name);
	INPUT_ASSERT(mkdir(path, 0700) == 0);
}

void broker_world_make(struct broker_world *world, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *parent = getenv("TMPDIR");

	snprintf(world->directory, sizeof world->directory, "%s/%s.XXXXXX", parent ? parent : "/tmp", name);
	INPUT_ASSERT(mkdtemp(world->directory));
	make_directory(world->claims, sizeof world->claims, world->directory, "claims");
	make_directory(world->quarantine, sizeof world->quarantine, world->directory, "quarantine");
	snprintf(world->keeper_socket, sizeof world->keeper_socket, "%s/keeper.sock", world->directory);
	strcpy(address.sun_path, world->keeper_socket);
	world->keeper_listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	INPUT_ASSERT(bind(world->keeper_listener, (struct sockaddr *)&address, sizeof address) == 0 &&
		listen(world->keeper_listener, 64) == 0);
	made = world;
	atexit(clean_up);
}

int broker_world_nobodys_listener(void)
{
	/* No path: Linux chooses an address. */
	const struct sockaddr address = {.sa_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	INPUT_ASSERT(bind(fd, &address, sizeof address.sa_family) == 0 && listen(fd, 1) == 0);
	return fd;
}
