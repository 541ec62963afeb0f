/* SPDX-License-Identifier: MIT */
#include "verdict.h"
#include "window-module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who makes windows, over what, and what is counted. */

/* ---- ranges and flags ---- */

/* The offset is counted from the region's beginning, or else from its end. */
enum from { BEGIN, END };

struct range {
	const char *name;
	unsigned region;
	enum from from;
	int64_t offset;
	uint64_t size;
	uint32_t flags;
	uint32_t reserved;
	long expected; /* 0: a window */
};

#define INDEX_SPACE (INT64_C(1) << 40) /* what VFIO has for each region */
#define W	    VFIO_WINDOW_FLAG_WRITE

static const struct range ranges[] = {
	{"the whole of a BAR", MEMORY_BAR, BEGIN, 0, 16 << 20, W, 0, 0},
	{"the first page of a BAR", MEMORY_BAR, BEGIN, 0, PAGE, W, 0, 0},
	{"the last page of a BAR", MEMORY_BAR, END, -PAGE, PAGE, W, 0, 0},
	{"a window that may not be written to", MEMORY_BAR, BEGIN, 0, PAGE, 0, 0, 0},
	{"a page behind the BAR", MEMORY_BAR, END, 0, PAGE, W, 0, -EINVAL},
	{"two pages, one of them behind the BAR", MEMORY_BAR, END, -PAGE, 2 * PAGE, W, 0, -EINVAL},
	{"far behind the BAR", MEMORY_BAR, BEGIN, INDEX_SPACE - PAGE, PAGE, W, 0, -EINVAL},
	{"the end of one region's space and the beginning of the next one's", MEMORY_BAR - 1, BEGIN, INDEX_SPACE - PAGE,
		2 * PAGE, W, 0, -EINVAL},
	{"a size that wraps around", MEMORY_BAR, BEGIN, PAGE, -(uint64_t)PAGE, W, 0, -EINVAL},
	{"the largest size", MEMORY_BAR, BEGIN, 0, -(uint64_t)PAGE, W, 0, -EINVAL},
	{"an offset and a size that wrap around", 0, BEGIN, -PAGE, 2 * PAGE, W, 0, -EINVAL},
	{"an offset within a page", MEMORY_BAR, BEGIN, 8, PAGE, W, 0, -EINVAL},
	{"a size that is no whole page", MEMORY_BAR, BEGIN, 0, PAGE + 8, W, 0, -EINVAL},
	{"size 0", MEMORY_BAR, BEGIN, 0, 0, W, 0, -EINVAL},
	{"the second half of a 64-bit BAR", MEMORY_BAR + 1, BEGIN, 0, PAGE, W, 0, -EINVAL},
	{"a BAR that is not there", 5, BEGIN, 0, PAGE, W, 0, -EINVAL},
	{"the ROM", VFIO_PCI_ROM_REGION_INDEX, BEGIN, 0, PAGE, 0, 0, -EINVAL},
	{"configuration space", VFIO_PCI_CONFIG_REGION_INDEX, BEGIN, 0, PAGE, W, 0, -EINVAL},
	{"VGA", VFIO_PCI_VGA_REGION_INDEX, BEGIN, 0, PAGE, W, 0, -EINVAL},
	{"a region that is not there", VFIO_PCI_NUM_REGIONS, BEGIN, 0, PAGE, W, 0, -EINVAL},
	{"a flag that is not known", MEMORY_BAR, BEGIN, 0, PAGE, W | 4, 0, -EINVAL},
	{"all flags", MEMORY_BAR, BEGIN, 0, PAGE, ~0u, 0, -EINVAL},
	{"something in reserved", MEMORY_BAR, BEGIN, 0, PAGE, W, 1, -EINVAL},
};

static struct vfio_window_create usual(const struct ground *ground)
{
	return (struct vfio_window_create){
		.argsz = sizeof(struct vfio_window_create),
		.flags = W,
		.device_fd = ground->vfio.device,
		.offset = ground->bar.offset,
		.size = PAGE,
	};
}

/* 0 for a window, which is closed again. */
static long create(int control, const void *argument)
{
	long fd = verdict_result(ioctl(control, VFIO_WINDOW_CREATE, argument));

	if (fd >= 0)
		close((int)fd);
	return fd < 0 ? fd : 0;
}

static void check_ranges(const struct ground *ground)
{
	char name[128];

	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		const struct range *range = &ranges[i];
		struct vfio_window_create argument = usual(ground);

		argument.flags = range->flags;
		argument.reserved = range->reserved;
		argument.size = range->size;
		argument.offset = (uint64_t)range->region * INDEX_SPACE + (uint64_t)range->offset +
			(range->from == END ? ground->bar.size : 0);
		snprintf(name, sizeof name, "creation %s: %s", range->expected ? "is refused" : "works", range->name);
		verdict_is(name, create(ground->control, &argument), range->expected);
	}
}

static void check_ports(const struct ground *ground)
{
	struct vfio_window_create argument = usual(ground);
	struct raw_vfio vfio;

	raw_vfio_open(&vfio, window_ports);
	argument.device_fd = vfio.device;
	argument.offset = 0;
	verdict_is("creation works: another device's BAR 0", create(ground->control, &argument), 0);
	argument.offset = INDEX_SPACE;
	verdict_is("creation is refused: a BAR of ports", create(ground->control, &argument), -EINVAL);
	raw_vfio_close(&vfio);
}

/* ---- what device_fd may be ---- */

static void check_fd(const struct ground *ground, const char *what, int fd, long expected)
{
	struct vfio_window_create argument = usual(ground);
	char name[128];

	argument.device_fd = fd;
	snprintf(name, sizeof name, "creation is refused: over %s", what);
	verdict_is(name, create(ground->control, &argument), expected);
}

static void check_new_fd(const struct ground *ground, const char *what, int fd)
{
	if (fd < 0)
		verdict_die(what);
	check_fd(ground, what, fd, -EBADFD);
	close(fd);
}

static void check_fds(const struct ground *ground)
{
	int closed = dup(ground->vfio.device), path = open("/dev/null", O_PATH | O_CLOEXEC);

	close(closed);
	check_fd(ground, "a closed descriptor", closed, -EBADF);
	check_fd(ground, "descriptor -1", -1, -EBADF);
	check_fd(ground, "an O_PATH descriptor", path, -EBADF);
	check_fd(ground, "a group", ground->vfio.group, -EBADFD);
	check_fd(ground, "a container", ground->vfio.container, -EBADFD);
	check_fd(ground, "a control file", ground->control, -EBADFD);
	check_new_fd(ground, "a window", ground_window(ground, W, 0, 1));
	check_new_fd(ground, "a file", open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	check_new_fd(ground, "/dev/null", open("/dev/null", O_RDWR | O_CLOEXEC));
	check_new_fd(ground, "an eventfd", eventfd(0, EFD_CLOEXEC));
	check_new_fd(ground, "a socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	close(path);
}

/* ---- the structs ---- */

/* An argument of @argsz bytes whose last one is @last. */
static long create_sized(const struct ground *ground, uint32_t argsz, uint8_t last)
{
	static union {
		struct vfio_window_create create;
		uint8_t bytes[2 * PAGE];
	} argument;

	memset(&argument, 0, sizeof argument);
	argument.create = usual(ground);
	argument.create.argsz = argsz;
	if (argsz > sizeof argument.create)
		argument.bytes[argsz - 1] = last;
	return create(ground->control, &argument);
}

static void check_structs(const struct ground *ground)
{
	uint8_t *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_window_create argument = usual(ground);
	const uint32_t size = sizeof argument;

	verdict_is("creation is refused: argsz 0", create_sized(ground, 0, 0), -EINVAL);
	verdict_is("creation is refused: argsz one too small", create_sized(ground, size - 1, 0), -EINVAL);
	verdict_is("creation works: a larger struct with zeros behind", create_sized(ground, size + 64, 0), 0);
	verdict_is("creation works: a struct of a page with zeros behind", create_sized(ground, PAGE, 0), 0);
	verdict_is("creation is refused: a larger struct with something behind", create_sized(ground, size + 1, 1),
		-E2BIG);
	verdict_is("creation is refused: a page with something at its end", create_sized(ground, PAGE, 1), -E2BIG);
	verdict_is("creation is refused: a struct of more than a page", create_sized(ground, PAGE + 1, 0), -E2BIG);

	if (pages == MAP_FAILED || munmap(pages + PAGE, PAGE) < 0)
		verdict_die("mmap");
	memcpy(pages + PAGE - size + 8, &argument, size - 8);
	verdict_is("creation is refused: a struct that is partly unmapped",
		create(ground->control, pages + PAGE - size + 8), -EFAULT);
	verdict_is("creation is refused: a struct in unmapped memory", create(ground->control, pages + PAGE), -EFAULT);
	verdict_is("creation is refused: a struct at 0", create(ground->control, NULL), -EFAULT);
	munmap(pages, PAGE);
}

static long control_ioctl(const struct ground *ground, unsigned long request, const void *argument)
{
	return verdict_result(ioctl(ground->control, request, argument));
}

static void check_other_requests(const struct ground *ground)
{
	struct vfio_window_revoke small = {.argsz = sizeof small - 1}, flags = {.argsz = sizeof flags, .flags = 2};
	struct vfio_window_info info = {.argsz = sizeof info - 1};
	void *read_only = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	verdict_is("REVOKE is refused: argsz too small", control_ioctl(ground, VFIO_WINDOW_REVOKE, &small), -EINVAL);
	verdict_is("REVOKE is refused: an unknown flag", control_ioctl(ground, VFIO_WINDOW_REVOKE, &flags), -EINVAL);
	verdict_is("REVOKE is refused: a struct at 0", control_ioctl(ground, VFIO_WINDOW_REVOKE, NULL), -EFAULT);
	verdict_is("INFO is refused: argsz too small", control_ioctl(ground, VFIO_WINDOW_INFO, &info), -EINVAL);
	info.argsz = sizeof info;
	if (read_only == MAP_FAILED)
		verdict_die("mmap");
	memcpy(read_only, &info, sizeof info);
	mprotect(read_only, PAGE, PROT_READ);
	verdict_is("INFO is refused: a struct that cannot be written",
		control_ioctl(ground, VFIO_WINDOW_INFO, read_only), -EFAULT);
	verdict_is("an unknown ioctl is refused", control_ioctl(ground, _IO(VFIO_WINDOW_TYPE, 99), &info), -ENOTTY);
	verdict_is("VFIO's ioctls are refused", control_ioctl(ground, VFIO_DEVICE_GET_INFO, &info), -ENOTTY);
	verdict_refused("the control file cannot be read", verdict_result(read(ground->control, &info, sizeof info)));
	verdict_refused("the control file cannot be mapped",
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ground->control, 0) == MAP_FAILED ? -errno : 0);
	munmap(read_only, PAGE);
}

/* ---- the node ---- */

static void check_node(void)
{
	struct stat status;
	int exit_status = 0;
	pid_t child;

	if (stat(VFIO_WINDOW_NODE, &status) < 0)
		verdict_die(VFIO_WINDOW_NODE);
	verdict(S_ISCHR(status.st_mode) && (status.st_mode & 07777) == 0600 && status.st_uid == 0 && status.st_gid == 0,
		"the control node is root's, mode 0600");
	child = fork();
	if (child == 0) {
		if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
			_exit(99);
		_exit(open(VFIO_WINDOW_NODE, O_RDWR | O_CLOEXEC) < 0 ? errno : 0);
	}
	waitpid(child, &exit_status, 0);
	verdict_is("uid 1000 cannot open the control node", WEXITSTATUS(exit_status), EACCES);
}

/* ---- what is counted, and what is left over ---- */

static void check_info(const struct ground *ground, const char *when, uint32_t windows, uint64_t pages)
{
	struct vfio_window_info info = raw_info(ground->control);

	if (!verdict(info.windows == windows && info.size == pages * PAGE, "INFO counts right: %s", when))
		printf("# %u windows, %llu bytes\n", info.windows, (unsigned long long)info.size);
}

static void check_counts(const struct ground *ground)
{
	struct vfio_window_info info = raw_info(ground->control);
	int first, second, other = raw_control();
	void *mapping;

	verdict(info.version == VFIO_WINDOW_VERSION && info.flags == 0, "INFO tells its version and no flags");
	check_info(ground, "nothing yet", 0, 0);
	first = ground_window(ground, W, 0, 3);
	second = ground_window(ground, 0, 1, 10);
	check_info(ground, "two windows over the same pages", 2, 13);
	verdict(raw_info(other).windows == 0, "INFO does not count another control file's windows");
	close(second);
	check_info(ground, "one of them closed", 1, 3);
	mapping = raw_map(first, PROT_READ, PAGE, 0);
	close(first);
	check_info(ground, "the other one closed, and mapped", 1, 3);
	munmap(mapping, PAGE);
	check_info(ground, "unmapped", 0, 0);
	first = ground_window(ground, W, 0, 3);
	verdict_is("REVOKE works", raw_revoke(ground->control), 0);
	check_info(ground, "revoked", 0, 0);
	verdict_is("REVOKE works when there is nothing to revoke", raw_revoke(ground->control), 0);
	second = ground_window(ground, W, 0, 5);
	check_info(ground, "one revoked, one new", 1, 5);
	close(first);
	check_info(ground, "the revoked one closed", 1, 5);
	close(second);
	check_info(ground, "the new one closed", 0, 0);
	close(other);
}

static unsigned count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	if (!folder)
		verdict_die("/proc/self/fd");
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* A process that has as many descriptors as it may have gets no window, and there is none. */
static void check_no_room(const struct ground *ground)
{
	struct vfio_window_create argument = usual(ground);
	struct rlimit before, none = {3, 0};

	if (getrlimit(RLIMIT_NOFILE, &before) < 0)
		verdict_die("RLIMIT_NOFILE");
	none.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	verdict_is("creation is refused: no descriptor is free", create(ground->control, &argument), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
}

void window_creation(struct ground *ground)
{
	unsigned before = count_fds();
	int fd;

	check_node();
	check_ranges(ground);
	check_ports(ground);
	check_fds(ground);
	check_structs(ground);
	check_other_requests(ground);
	check_no_room(ground);
	check_info(ground, "after all that", 0, 0);
	verdict_is("nothing of that has left a descriptor", count_fds(), before);
	check_counts(ground);
	fd = ground_window(ground, W, 0, 1);
	verdict(fcntl(fd, F_GETFD) == FD_CLOEXEC, "a window is closed on exec");
	close(fd);
}
