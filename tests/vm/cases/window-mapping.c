/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* What can be done with a window: it can be mapped, within its range and its protection, and nothing else. */

#define FIRST 16 /* the windows' first page of the BAR */
#define COUNT 8	 /* and their size */

/* 0, or a negative errno; what was mapped is unmapped. */
static long map(int fd, uint64_t pages, int protection, int flags, uint64_t first)
{
	void *mapping = mmap(NULL, pages * PAGE, protection, flags, fd, (off_t)(first * PAGE));

	if (mapping == MAP_FAILED)
		return -errno;
	munmap(mapping, pages * PAGE);
	return 0;
}

static uint8_t *mapped(int fd, int protection, uint64_t first, uint64_t pages)
{
	return raw_map(fd, protection, pages * PAGE, first * PAGE);
}

static void check_ranges(const struct ground *ground, int fd)
{
	const int shared = MAP_SHARED, rw = PROT_READ | PROT_WRITE;
	uint8_t *window = mapped(fd, rw, 0, COUNT), *part = mapped(fd, rw, 3, 2);

	verdict(ground_seen(window, FIRST, COUNT), "a mapping shows the window's pages");
	verdict(ground_seen(part, FIRST + 3, 2), "a mapping with an offset begins there");
	probe_write(part + 8, 4, 0x12345678);
	verdict(*(volatile uint32_t *)(ground->direct + (FIRST + 3) * PAGE + 8) == 0x12345678,
		"what is written to a mapping is in the device");
	verdict_is("mapping is refused: one page too many", map(fd, COUNT + 1, rw, shared, 0), -EINVAL);
	verdict_is("mapping is refused: one page too far", map(fd, COUNT, rw, shared, 1), -EINVAL);
	verdict_is("mapping is refused: behind the window", map(fd, 1, rw, shared, COUNT), -EINVAL);
	verdict_is("mapping is refused: far behind", map(fd, 1, rw, shared, UINT64_C(1) << 40), -EINVAL);
	verdict_is("mapping is refused: where VFIO has the page", map(fd, 1, rw, shared, ground->bar.offset / PAGE),
		-EINVAL);
	verdict_is("mapping is refused: an offset that wraps around", map(fd, 2, rw, shared, (UINT64_C(1) << 51) - 1),
		-EINVAL);
	munmap(window, COUNT * PAGE);
	munmap(part, 2 * PAGE);
}

static void check_protection(const struct ground *ground, int fd)
{
	int read_only = ground_window(ground, 0, FIRST, COUNT);
	uint8_t *window = mapped(read_only, PROT_READ, 0, COUNT), *none = mapped(read_only, PROT_NONE, 0, 1);

	verdict_is("mapping is refused: to be executed", map(fd, 1, PROT_READ | PROT_EXEC, MAP_SHARED, 0), -EPERM);
	verdict_is("mapping is refused: private", map(fd, 1, PROT_READ, MAP_PRIVATE, 0), -EINVAL);
	verdict_is("mapping is refused: private and writable", map(fd, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0),
		-EINVAL);
	verdict_is("mapping is refused: writable, of a window that is not",
		map(read_only, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0), -EACCES);
	verdict_is("mapping is refused: write-only, of a window that is not",
		map(read_only, 1, PROT_WRITE, MAP_SHARED, 0), -EACCES);
	verdict(ground_seen(window, FIRST, COUNT), "a window that is not writable can be read");
	verdict_is("a write to it is a fault", probe_write(window, 4, 1), SIGSEGV);
	verdict_is("mprotect does not make it writable", verdict_result(mprotect(window, PAGE, PROT_READ | PROT_WRITE)),
		-EACCES);
	verdict_is("mprotect does not make it executable",
		verdict_result(mprotect(window, PAGE, PROT_READ | PROT_EXEC)), -EACCES);
	verdict_is("mprotect does not make what was mapped for nothing writable",
		verdict_result(mprotect(none, PAGE, PROT_WRITE)), -EACCES);
	verdict(mprotect(none, PAGE, PROT_READ) == 0 && ground_seen(none, FIRST, 1), "mprotect makes it readable");
	verdict(ground_seen(window, FIRST, COUNT), "after that, it still shows its pages");
	munmap(window, COUNT * PAGE);
	munmap(none, PAGE);
	close(read_only);
}

static long grow(void *old, size_t old_size, size_t size, int flags)
{
	return mremap(old, old_size, size, flags) == MAP_FAILED ? -errno : 0;
}

static void check_mremap(int fd)
{
	uint8_t *window = mapped(fd, PROT_READ, 0, COUNT), *part = mapped(fd, PROT_READ, 2, 1), *moved, *to;

	verdict_refused("mremap does not let it grow beyond the window",
		grow(window, COUNT * PAGE, (COUNT + 1) * PAGE, MREMAP_MAYMOVE));
	verdict_refused("mremap does not let it grow within the window", grow(part, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	verdict_refused("mremap does not let it grow in place", grow(part, PAGE, 2 * PAGE, 0));
	verdict_refused("mremap does not copy it", grow(window, 0, PAGE, MREMAP_MAYMOVE));
	verdict_refused("mremap does not leave it behind", grow(window, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
	verdict(ground_seen(window, FIRST, COUNT) && ground_seen(part, FIRST + 2, 1),
		"after that, it still shows its pages");
	verdict(mremap(window, COUNT * PAGE, 4 * PAGE, 0) == window && ground_seen(window, FIRST, 4),
		"mremap can make it smaller");
	to = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	moved = mremap(window + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	verdict(moved == to && ground_seen(moved, FIRST + 1, 2), "mremap can move a part of it");
	verdict(ground_seen(window, FIRST, 1) && ground_seen(window + 3 * PAGE, FIRST + 3, 1),
		"the rest stays where it is");
	munmap(moved, 2 * PAGE);
	munmap(window, 4 * PAGE);
	munmap(part, PAGE);
}

static long nonlinear(void *address, size_t size, uint64_t page)
{
	return verdict_result(syscall(SYS_remap_file_pages, address, size, 0, page, 0));
}

/* The device file's pages that are not the window's must stay out of reach, whatever number they may have. */
static void check_remap_file_pages(const struct ground *ground, int fd)
{
	const uint64_t in_device[] = {COUNT, FIRST, FIRST + COUNT, ground->bar.offset / PAGE,
		ground->bar.offset / PAGE + FIRST + COUNT, -(uint64_t)FIRST};
	uint8_t *window = mapped(fd, PROT_READ, 0, COUNT);
	bool refused = true, within = true;
	uint64_t value;

	verdict_is("remap_file_pages works within the window", nonlinear(window + PAGE, 2 * PAGE, 5), 0);
	verdict(ground_seen(window + PAGE, FIRST + 5, 2), "it counts from the window's beginning");
	for (size_t i = 0; i < sizeof in_device / sizeof in_device[0]; i++) {
		refused &= nonlinear(window, PAGE, in_device[i]) < 0;
		if (probe_read(window, 8, &value) == 0)
			within &= value >= ground_mark(FIRST) && value < ground_mark(FIRST + COUNT);
	}
	verdict(refused, "remap_file_pages is refused: pages that are not the window's");
	verdict(within, "after that, what can be seen is the window's");
	verdict_refused(
		"remap_file_pages is refused: partly behind the window", nonlinear(window, 2 * PAGE, COUNT - 1));
	munmap(window, COUNT * PAGE);
}

static long reopen(int fd, int flags)
{
	char path[64];
	long again;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = verdict_result(open(path, flags | O_CLOEXEC));
	if (again >= 0)
		close((int)again);
	return again;
}

static void check_nothing_else(int fd)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct vfio_window_info info = {.argsz = sizeof info};
	char buffer[64] = {0};

	verdict_refused("read is refused", verdict_result(read(fd, buffer, sizeof buffer)));
	verdict_refused("write is refused", verdict_result(write(fd, buffer, sizeof buffer)));
	verdict_refused("pread is refused", verdict_result(pread(fd, buffer, sizeof buffer, 0)));
	verdict_refused("pwrite is refused", verdict_result(pwrite(fd, buffer, sizeof buffer, 0)));
	verdict_refused("ftruncate is refused", verdict_result(ftruncate(fd, PAGE)));
	verdict_refused("fallocate is refused",
		verdict_result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE)));
	verdict_refused("sendfile from it is refused", verdict_result(sendfile(1, fd, NULL, 1)));
	verdict_refused("sendfile to it is refused", verdict_result(sendfile(fd, file, NULL, 1)));
	verdict_is(
		"the control file's ioctls are refused", verdict_result(ioctl(fd, VFIO_WINDOW_INFO, &info)), -ENOTTY);
	verdict_refused("opening it again is refused: O_RDONLY", reopen(fd, O_RDONLY));
	verdict_refused("opening it again is refused: O_RDWR", reopen(fd, O_RDWR));
	close(file);
}

static void check_other_ways_to_read(int fd)
{
	uint8_t *window = mapped(fd, PROT_READ | PROT_WRITE, 0, COUNT);
	int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char buffer[64] = {0};
	struct iovec local = {buffer, sizeof buffer}, remote = {window, sizeof buffer};

	verdict(ground_seen(window, FIRST, COUNT), "a mapping for what follows");
	verdict_refused("/proc/PID/mem does not read it",
		verdict_result(pread(memory, buffer, sizeof buffer, (off_t)(uintptr_t)window)));
	verdict_refused("/proc/PID/mem does not write it",
		verdict_result(pwrite(memory, buffer, sizeof buffer, (off_t)(uintptr_t)window)));
	verdict_is("process_vm_readv does not read it",
		verdict_result(process_vm_readv(getpid(), &local, 1, &remote, 1, 0)), -EFAULT);
	verdict_is("process_vm_writev does not write it",
		verdict_result(process_vm_writev(getpid(), &local, 1, &remote, 1, 0)), -EFAULT);
	verdict(ground_seen(window, FIRST, COUNT), "after that, it still shows its pages");
	munmap(window, COUNT * PAGE);
	close(memory);
}

void window_mapping(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, FIRST, COUNT);

	check_ranges(ground, fd);
	check_protection(ground, fd);
	check_mremap(fd);
	check_remap_file_pages(ground, fd);
	check_nothing_else(fd);
	check_other_ways_to_read(fd);
	close(fd);
}
