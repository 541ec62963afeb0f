/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "sandbox.h"
#include "view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * Mounted file systems, swap, md, dm, LVM and pools open their disks exclusively, and the kernel lets no second
 * exclusive open in. Whoever has a partition has the disk. The open lasts for a moment: root's mount in this moment
 * fails with EBUSY, as beside any other tool that looks this way.
 */
static int linux_is_claimed(const char *path)
{
	OWNED_FD fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0)
		return 0;
	if (errno == EBUSY)
		return 1;
	/* A drive without a disk. */
	return errno == ENOMEDIUM || errno == ENXIO || errno == ENODEV ? 0 : -errno;
}

static unsigned int prefix_of(const struct sockaddr *mask)
{
	const struct sockaddr_in6 *six = (const void *)mask;
	const struct sockaddr_in *four = (const void *)mask;
	const unsigned char *bytes =
		mask->sa_family == AF_INET6 ? (const void *)&six->sin6_addr : (const void *)&four->sin_addr;
	unsigned int bits = 0;

	for (size_t i = 0; i < (mask->sa_family == AF_INET6 ? 16U : 4U); i++)
		bits += (unsigned int)__builtin_popcount(bytes[i]);
	return bits;
}

/* As "10.0.0.5/24". Returns false for what is no address of IP. */
static bool address_text(const struct ifaddrs *entry, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN];
	const void *bytes;

	if (!entry->ifa_addr || !entry->ifa_netmask)
		return false;
	if (entry->ifa_addr->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)entry->ifa_addr)->sin_addr;
	else if (entry->ifa_addr->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)entry->ifa_addr)->sin6_addr;
	else
		return false;
	if (!inet_ntop(entry->ifa_addr->sa_family, bytes, address, sizeof address))
		return false;
	snprintf(text, size, "%s/%u", address, prefix_of(entry->ifa_netmask));
	return true;
}

static int linux_addresses(const char *interface, char *text, size_t size)
{
	struct ifaddrs *all;
	char address[64];
	size_t used = 0;

	text[0] = '\0';
	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
		if (strcmp(entry->ifa_name, interface) != 0 || !address_text(entry, address, sizeof address) ||
			used + strlen(address) + 3 > size)
			continue;
		used += (size_t)snprintf(text + used, size - used, ", %s", address);
	}
	freeifaddrs(all);
	return 0;
}

/*
 * The file may be of a file system that does not answer (FUSE, NFS). AT_STATX_DONT_SYNC has those file systems answer
 * from what they know.
 */
static bool linux_is_device(const char *path, mode_t kind, dev_t number)
{
	struct statx found;

	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &found) < 0)
		return false;
	return (found.stx_mode & S_IFMT) == kind && makedev(found.stx_rdev_major, found.stx_rdev_minor) == number;
}

/*
 * Files are opened to be read, and never made. No filter can tell paths apart: the unit's root decides which files
 * there are. bind(): getifaddrs() has an AF_NETLINK socket of its own.
 */
static const struct sandbox_rule rules[] = {
	{SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TMPFILE | O_TRUNC | O_APPEND, O_RDONLY},
	{SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TMPFILE | O_TRUNC | O_APPEND, O_DIRECTORY},
	{SCMP_SYS(read), 0, 0, 0},
	{SCMP_SYS(lseek), 0, 0, 0},
	{SCMP_SYS(getdents64), 0, 0, 0},
	{SCMP_SYS(readlink), 0, 0, 0},
	{SCMP_SYS(readlinkat), 0, 0, 0},
	{SCMP_SYS(fstat), 0, 0, 0},
	{SCMP_SYS(newfstatat), 0, 0, 0},
	{SCMP_SYS(statx), 0, 0, 0},
	/* fdopendir() and fopen() */
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_GETFL},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_SETFD},
	{SCMP_SYS(socket), 0, UINT32_MAX, AF_NETLINK},
	{SCMP_SYS(bind), 0, 0, 0},
	{SCMP_SYS(getsockname), 0, 0, 0},
};

const struct view view_linux = {
	.root = "",
	.is_claimed = linux_is_claimed,
	.addresses = linux_addresses,
	.is_device = linux_is_device,
	.rules = rules,
	.rule_count = sizeof rules / sizeof rules[0],
};
