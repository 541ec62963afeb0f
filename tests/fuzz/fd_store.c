/* SPDX-License-Identifier: MIT */
#include "fd_store.h"

#include "base/store.h"
#include "input.h"

#include <fcntl.h>
#include <unistd.h>

static struct stored kept[FD_STORE_MAX];
static size_t kept_count;
static bool nobody_listens;

bool __wrap_store_put(enum store_kind kind, uint64_t number, const int *fds, unsigned int count);
void __wrap_store_forget(enum store_kind kind, uint64_t number);

static void drop(size_t i)
{
	close(kept[i].fd);
	kept[i] = kept[--kept_count];
}

bool __wrap_store_put(enum store_kind kind, uint64_t number, const int *fds, unsigned int count)
{
	if (nobody_listens)
		return false;
	INPUT_ASSERT(kept_count + count <= FD_STORE_MAX);
	for (unsigned int i = 0; i < count; i++) {
		struct stored stored = {.fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3), .kind = kind, .number = number};

		INPUT_ASSERT(stored.fd >= 0);
		kept[kept_count++] = stored;
	}
	return true;
}

void __wrap_store_forget(enum store_kind kind, uint64_t number)
{
	for (size_t i = kept_count; !nobody_listens && i > 0; i--) {
		if (kept[i - 1].kind == kind && kept[i - 1].number == number)
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

size_t fd_store_pass(struct stored stored[FD_STORE_MAX])
{
	for (size_t i = 0; i < kept_count; i++) {
		stored[i] = kept[i];
		stored[i].fd = fcntl(kept[i].fd, F_DUPFD_CLOEXEC, 3);
		INPUT_ASSERT(stored[i].fd >= 0);
	}
	return kept_count;
}
