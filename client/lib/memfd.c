/* SPDX-License-Identifier: MIT */
#include "memfd.h"

#include "detail.h"
#include "fdset.h"
#include "foreign_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE ((uint64_t)2 << 20)

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* Huge pages are reserved when the file is mapped; there may be none. */
static int huge_page_file(uint64_t size)
{
	OWNED_FD fd = memfd_create("vbroker-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	void *probe;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	probe = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (probe == MAP_FAILED)
		return -errno;
	munmap(probe, size);
	return fd_take(&fd);
}

int memfd_make(uint64_t size, uint64_t huge_max, uint64_t *ret_size)
{
	const uint64_t wanted = round_up(size, HUGE_PAGE);
	OWNED_FD fd = wanted >= size && wanted <= huge_max ? huge_page_file(wanted) : -1;

	if (fd >= 0) {
		size = wanted;
	} else {
		fd = memfd_create("vbroker-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
			return -errno;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*ret_size = size;
	return fd_take(&fd);
}

bool memfd_check(int fd)
{
	/* mm/memfd.c: EINVAL for every file outside the kernel's own memory file systems, without asking a server.
	 * Files of a mount begin with F_SEAL_SEAL alone, and get no more. */
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK);
}

/* fstat() of glibc 2.33 to 2.38 calls newfstatat(), which vbroker_sandbox_enter() refuses. The system call fills the
 * same structure on machines of 64 bits. */
static int memfd_status(int fd, struct stat *ret_status)
{
#if defined(SYS_fstat) && defined(__LP64__)
	return syscall(SYS_fstat, fd, ret_status) < 0 ? -errno : 0;
#else
	return fstat(fd, ret_status) < 0 ? -errno : 0;
#endif
}

int memfd_map(int fd, uint64_t size_max, void **ret_address, uint64_t *ret_size, bool *ret_writable)
{
	int seals = fcntl(fd, F_GET_SEALS);
	bool writable = seals >= 0 && !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
	struct stat status;
	void *address;
	int r;

	if (seals < 0)
		return detail_set(REFUSAL_NOT_MEMORY, "it is %s, not a memfd", foreign_fd_name(fd));
	if (!(seals & F_SEAL_SHRINK))
		return detail_set(REFUSAL_NOT_MEMORY, "it is a memfd that is not sealed against shrinking");
	r = memfd_status(fd, &status);
	if (r < 0)
		return r;
	if (status.st_size == 0)
		return detail_set(REFUSAL_NOT_MEMORY, "it is an empty memfd");
	if ((uint64_t)status.st_size > size_max)
		return detail_set(REFUSAL_QUOTA,
			"a memfd of %llu KiB, more than the channel's whole budget of %llu KiB",
			(unsigned long long)status.st_size / 1024, (unsigned long long)size_max / 1024);
	address = mmap(NULL, (size_t)status.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	/* Linux before 6.7, except later stable releases, takes every shared mapping for one that could become
	 * writable. Sealed content is the same in a private mapping. */
	if (address == MAP_FAILED && errno == EPERM && (seals & F_SEAL_WRITE))
		address = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (address == MAP_FAILED)
		return detail_set(-errno, "mapping a memfd of %lld bytes", (long long)status.st_size);
	*ret_address = address;
	*ret_size = (uint64_t)status.st_size;
	*ret_writable = writable;
	return 0;
}
