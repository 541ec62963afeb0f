/* SPDX-License-Identifier: MIT */
#include "fd_store.h"

#include "base/store.h"
#include "input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static struct stored kept[FD_STORE_MAX];
static size_t kept_count;
static bool nobody_listens;

bool __wrap_store_session(int fd, uint64_t session, uint64_t born);
bool __wrap_store_keeper(int fd, uint32_t group);
void __wrap_store_forget_keeper(uint32_t group);

static void drop(size_t i)
{
	close(kept[i].fd);
	kept[i] = kept[--kept_count];
}

static bool keep(int fd, struct stored stored)
{
	if (nobody_listens || kept_count == FD_STORE_MAX)
		return false;
	stored.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	INPUT_ASSERT(stored.fd >= 0);
	kept[kept_count++] = stored;
	return true;
}

bool __wrap_store_session(int fd, uint64_t session, uint64_t born)
{
	return keep(fd, (struct stored){.session = session, .started = born});
}

bool __wrap_store_keeper(int fd, uint32_t group)
{
	return keep(fd, (struct stored){.is_keeper = true, .group = group});
}

void __wrap_store_forget_keeper(uint32_t group)
{
	for (size_t i = kept_count; !nobody_listens && i > 0; i--) {
		if (kept[i - 1].is_keeper && kept[i - 1].group == group)
			drop(i - 1);
	}
}

void fd_store_clear(void)
{
	while (kept_count > 0)
		drop(kept_count - 1);
}

void fd_store_deaf(bool deaf)
{
	nobody_listens = deaf;
}

void fd_store_notice(void)
{
	for (size_t i = kept_count; i > 0; i--) {
		struct pollfd poll_fd = {.fd = kept[i - 1].fd};

		if (!kept[i - 1].is_keeper && poll(&poll_fd, 1, 0) > 0)
			drop(i - 1);
	}
}

size_t fd_store_pass(struct stored stored[FD_STORE_MAX])
{
	fd_store_notice();
	for (size_t i = 0; i < kept_count; i++) {
		stored[i] = kept[i];
		stored[i].fd = fcntl(kept[i].fd, F_DUPFD_CLOEXEC, 3);
		INPUT_ASSERT(stored[i].fd >= 0);
	}
	return kept_count;
}
