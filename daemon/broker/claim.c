/* SPDX-License-Identifier: MIT */
#include "claim.h"

#include "fdset.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VFIO_DRIVER "vfio-pci"
#define PARTIAL	    ".new" /* at the end of the name of a record that is being written */

/* ---- the record: two lines, host driver and driver_override; either may be empty ---- */

static void record_path(char *path, size_t size, const char *directory, const char *name, const char *suffix)
{
	snprintf(path, size, "%s/%s%s", directory, name, suffix);
}

static int record_write(const char *directory, const char *name, const struct claim *claim)
{
	char path[256], partial[256], text[2 * DRIVER_NAME_SIZE + 2];
	OWNED_FD fd = -1;
	int length;

	record_path(path, sizeof path, directory, name, "");
	record_path(partial, sizeof partial, directory, name, PARTIAL);
	length = snprintf(text, sizeof text, "%s\n%s\n", claim->driver, claim->override);
	fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* The directory is on tmpfs and root's alone: a record is there whole or not at all, and needs no fsync. */
	if (write(fd, text, (size_t)length) != length || rename(partial, path) < 0) {
		int r = errno ? -errno : -EIO;

		unlink(partial);
		return r;
	}
	return 0;
}

static void record_remove(const char *directory, const char *name)
{
	char path[256];

	record_path(path, sizeof path, directory, name, "");
	unlink(path);
}

static bool driver_name_copy(char to[DRIVER_NAME_SIZE], const char *from, size_t length)
{
	if (length >= DRIVER_NAME_SIZE)
		return false;
	memcpy(to, from, length);
	to[length] = '\0';
	return true;
}

static int record_read(const char *directory, const char *name, struct claim *ret_claim)
{
	char path[256], text[2 * DRIVER_NAME_SIZE + 3];
	struct claim claim;
	OWNED_FD fd = -1;
	ssize_t length;
	size_t first, second;

	record_path(path, sizeof path, directory, name, "");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	length = read(fd, text, sizeof text - 1);
	if (length < 0)
		return -errno;
	text[length] = '\0';
	first = strcspn(text, "\n");
	if (text[first] != '\n')
		return -EINVAL;
	second = strcspn(text + first + 1, "\n");
	if (text[first + 1 + second] != '\n')
		return -EINVAL;
	if (!driver_name_copy(claim.driver, text, first) || !driver_name_copy(claim.override, text + first + 1, second))
		return -EINVAL;
	*ret_claim = claim;
	return 0;
}

/* How much of a file's name is before PARTIAL, if it has that. */
static size_t name_length(const char *file)
{
	const char *suffix = strstr(file, PARTIAL);

	return suffix ? (size_t)(suffix - file) : strlen(file);
}

int claim_recall(const char *directory, claim_found found, void *context)
{
	DIR *dir = opendir(directory);
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (const struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		char name[DEVICE_NAME_SIZE] = "";
		size_t length = name_length(entry->d_name);
		struct claim *claim;

		if (length >= sizeof name)
			continue;
		memcpy(name, entry->d_name, length);
		if (!device_name_valid(name))
			continue;
		/* Its writer was killed before it changed anything. */
		if (strcmp(entry->d_name + length, PARTIAL) == 0)
			record_remove(directory, entry->d_name);
		if (entry->d_name[length] != '\0')
			continue;
		claim = calloc(1, sizeof *claim);
		if (!claim) {
			r = -ENOMEM;
		} else if (record_read(directory, name, claim) < 0) {
			record_remove(directory, name);
			free(claim);
		} else {
			r = found(context, name, claim);
		}
	}
	closedir(dir);
	return r;
}

/* ---- taking and giving back ---- */

static int give_to_vfio(const struct host *host, const char *name, const char *driver)
{
	/* Safe for a hostile caller: NAME is a device of the inventory that policy lets it have, the group is viable
	 * and nobody's, and vfio-pci itself never does DMA. Only this device matches its own driver_override. */
	int r = host->override_set(name, VFIO_DRIVER);

	if (r == 0 && *driver)
		r = host->driver_unbind(name, driver);
	return r == 0 ? host->driver_bind(name, VFIO_DRIVER) : r;
}

int claim_make(const struct host *host, const char *directory, const char *name, struct claim **ret_claim)
{
	struct host_device device;
	struct claim *claim;
	int r = host->look(name, &device);

	if (r < 0)
		return r;
	if (strcmp(device.driver, VFIO_DRIVER) == 0) {
		*ret_claim = NULL;
		return 0;
	}
	claim = calloc(1, sizeof *claim);
	if (!claim)
		return -ENOMEM;
	memcpy(claim->driver, device.driver, sizeof claim->driver);
	r = host->override_get(name, claim->override);
	if (r == 0)
		r = record_write(directory, name, claim);
	if (r < 0) {
		free(claim);
		return r;
	}
	r = give_to_vfio(host, name, claim->driver);
	if (r < 0) {
		claim_restore(host, directory, name, claim);
		return r;
	}
	*ret_claim = claim;
	return 0;
}

int claim_restore(const struct host *host, const char *directory, const char *name, struct claim *claim)
{
	struct host_device device;
	int r = host->look(name, &device);
	/* It left the machine: nothing to give back. */
	bool gone = r == -ENODEV, with_vfio;

	with_vfio = r < 0 ? !gone : strcmp(device.driver, VFIO_DRIVER) == 0;
	if (r == 0)
		r = host->override_set(name, claim->override);
	if (r == 0 && with_vfio) {
		r = host->driver_unbind(name, VFIO_DRIVER);
		with_vfio = r < 0;
		device.driver[0] = '\0';
	}
	if (r == 0 && claim->driver[0] && device.driver[0] == '\0')
		r = host->driver_bind(name, claim->driver);
	if (!with_vfio)
		record_remove(directory, name);
	free(claim);
	return gone ? 0 : r;
}
