/* SPDX-License-Identifier: MIT */
#include "kept.h"
#include "fdset.h"
#include "foreign_fd.h"
#include "state.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The descriptors that this process may have. */
static size_t open_max(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > OPEN_FDS_MAX ? OPEN_FDS_MAX : limit.rlim_cur;
}

void kept_init(struct kept *kept)
{
	size_t max = open_max();

	*kept = (struct kept){.max = max > OPEN_FDS_RESERVE ? max - OPEN_FDS_RESERVE : 0};
}

/* By KCMP_FILE: 0 if A and B are the same open file, 1 and 2 for its order of files, else an order of our own. */
static int compare(int a, int b)
{
	pid_t self = getpid();
	long r = syscall(SYS_kcmp, self, self, KCMP_FILE, (unsigned long)a, (unsigned long)b);

	return r == 0 ? 0 : r == 1 ? -1 : 1;
}

/* Returns true if the file is there already; *RET_PLACE is its place, in any case. */
static bool find(const struct kept_list *list, int fd, size_t *ret_place)
{
	size_t from = 0, to = list->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = compare(fd, list->fds[middle]);

		if (order == 0)
			return true;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	*ret_place = from;
	return false;
}

static bool insert(struct kept_list *list, size_t place, int fd)
{
	size_t room = list->room ? 2 * list->room : 16;
	int *grown;

	if (list->count == list->room) {
		grown = reallocarray(list->fds, room, sizeof *grown);
		if (!grown)
			return false;
		list->fds = grown;
		list->room = room;
	}
	memmove(&list->fds[place + 1], &list->fds[place], (list->count - place) * sizeof list->fds[0]);
	list->fds[place] = fd;
	list->count++;
	return true;
}

void kept_taint(struct kept *kept, int fd)
{
	kept->tainted = true;
	/* Without memory the descriptor stays open just so: the list is for kept_release() alone. */
	insert(&kept->foreign, kept->foreign.count, fd);
}

static void add(struct kept *kept, int fd)
{
	size_t place;

	if (find(&kept->known, fd, &place)) {
		close(fd);
		return;
	}
	/* The table of descriptors must never be full: the kernel would close what does not fit. */
	if (kept->known.count >= kept->max || !insert(&kept->known, place, fd))
		kept_taint(kept, fd);
}

void kept_judge(struct kept *kept, const struct vfio_kernel *kernel, bool wanted)
{
	int left[FDSET_MAX];
	size_t count = foreign_fd_left(left);

	for (size_t i = 0; i < count; i++) {
		if (wanted && (foreign_fd_is_eventfd(left[i]) || kernel->domain_check(left[i])))
			add(kept, left[i]);
		else
			kept_taint(kept, left[i]);
	}
}

int kept_surpass(int fd)
{
	size_t max = open_max();
	int high = max > OPEN_FDS_RESERVE ? fcntl(fd, F_DUPFD_CLOEXEC, (int)(max - OWN_FDS_MAX)) : -1;

	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static void release(struct kept_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		close(list->fds[i]);
	free(list->fds);
	*list = (struct kept_list){0};
}

void kept_forget(struct kept *kept)
{
	release(&kept->known);
}

void kept_release(struct kept *kept)
{
	release(&kept->known);
	release(&kept->foreign);
}
