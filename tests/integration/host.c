/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dirent.h>
#include <sys/stat.h>

/* ---- files ---- */

static void path_of(char path[256], const char *below)
{
	snprintf(path, 256, "%s/%s", world()->directory, below);
}

static void make_directory(const char *below)
{
	char path[256];

	path_of(path, below);
	assert_int_equal(mkdir(path, 0755), 0);
}

void host_write(const char *below, const char *text)
{
	char path[256];
	int fd;

	path_of(path, below);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

const char *host_read(const char *below)
{
	static char text[65536];
	char path[256];
	ssize_t length;
	int fd;

	path_of(path, below);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[length < 0 ? 0 : length] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

/* Counts the files of a directory and keeps the name of one. */
static char entry_name[256];

static size_t entries(const char *below)
{
	char path[256];
	size_t count = 0;
	DIR *dir;

	path_of(path, below);
	dir = opendir(path);
	if (!dir)
		return 0;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		snprintf(entry_name, sizeof entry_name, "%s", entry->d_name);
	}
	closedir(dir);
	return count;
}

size_t host_claims(void)
{
	return entries("claims");
}

/* ---- the host, as tests/fake/file_tree.h has it ---- */

static const struct host_file {
	const char *name;
	const char *ids;
	const char *driver;
	const char *override;
} devices[] = {
	{EDU, "1234 11e8 00ff00 1", "vfio-pci", "vfio-pci"},
	{EDU_2, "1234 11e8 00ff00 2", "vfio-pci", "vfio-pci"},
	{NVME, "1b36 0010 010802 3", "nvme", ""},
	{TWIN, "1234 11e8 00ff00 4", "vfio-pci", ""},
	{TWIN_2, "1234 11e8 00ff00 4", "vfio-pci", ""},
	{MIXED, "1234 11e8 00ff00 5", "vfio-pci", ""},
	{MIXED_NIC, "8086 100e 020000 5", "e1000", ""},
	{NO_IOMMU, "1234 11e8 00ff00 -", "vfio-pci", ""},
	{DEAD, "1234 11e8 00ff00 7", "vfio-pci", ""},
	{VIRTIO, "1af4 1000 020000 8", "virtio-pci", ""},
	{LOCKED, "1234 11e8 00ff00 9", "vfio-pci", ""},
	{NOBODYS, "1234 11e8 00ff00 10", "vfio-pci", ""},
	{BARE, "1234 11e8 00ff00 11", "", ""},
	{STUBBED, "1234 11e8 00ff00 12", "pci-stub", "pci-stub"},
};
#define DEVICES_COUNT (sizeof devices / sizeof *devices)

const char host_policy[] = "[deny locked]\naddress = " LOCKED "\nuser = *\n"
			   "[allow rebind]\naddress = " NVME " " BARE " " STUBBED "\nuser = *\nrebind = yes\n"
			   "[allow lab]\naddress = " EDU " " EDU_2 " " TWIN " " TWIN_2 " " MIXED "\n"
			   "address = " NO_IOMMU " " DEAD " " VIRTIO "\nuser = *\n";

static void make_group(unsigned int number)
{
	const char *names[FAKE_DEVICES_MAX + 1] = {NULL};
	char path[256], below[32];
	size_t count = 0;
	int fd;

	for (size_t i = 0; i < DEVICES_COUNT; i++) {
		const char *group = strrchr(devices[i].ids, ' ') + 1;

		if (*group != '-' && strtoul(group, NULL, 10) == number)
			names[count++] = devices[i].name;
	}
	snprintf(below, sizeof below, "groups/%u", number);
	path_of(path, below);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fake_group_format(fd, number, true, names), 0);
	close(fd);
}

void host_make(void)
{
	static const char *const drivers[] = {"vfio-pci", "nvme", "e1000", "virtio-pci", "pci-stub"};
	char below[128];

	make_directory("devices");
	make_directory("drivers");
	make_directory("groups");
	make_directory("policy");
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
		snprintf(below, sizeof below, "drivers/%s", drivers[i]);
		host_write(below, "");
	}
	for (size_t i = 0; i < DEVICES_COUNT; i++) {
		snprintf(below, sizeof below, "devices/%s", devices[i].name);
		make_directory(below);
		snprintf(below, sizeof below, "devices/%s/ids", devices[i].name);
		host_write(below, devices[i].ids);
		snprintf(below, sizeof below, "devices/%s/driver", devices[i].name);
		host_write(below, devices[i].driver);
		snprintf(below, sizeof below, "devices/%s/override", devices[i].name);
		host_write(below, devices[i].override);
	}
	host_write("devices/" DEAD "/answers", "no");
	for (unsigned int group = 1; group <= 12; group++)
		make_group(group);
}

void expect_driver(const char *device, const char *driver)
{
	char below[128];

	snprintf(below, sizeof below, "devices/%s/driver", device);
	assert_string_equal(host_read(below), driver);
}

void await_driver(const char *device, const char *driver)
{
	char below[128];

	snprintf(below, sizeof below, "devices/%s/driver", device);
	for (int i = 0; i < WAITS && (strcmp(host_read(below), driver) != 0 || host_claims() > 0); i++)
		nap(2);
	expect_driver(device, driver);
	assert_int_equal(host_claims(), 0);
}

struct fake_group *host_group(unsigned int number)
{
	/* The view outlives the descriptor (container.c maps it once per process). */
	char path[256], below[32];
	struct fake_group *group;
	int fd;

	snprintf(below, sizeof below, "groups/%u", number);
	path_of(path, below);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	group = fake_group_view(fd);
	assert_non_null(group);
	close(fd);
	return group;
}

struct fake_device *host_device(unsigned int group, const char *name)
{
	struct fake_device *device = fake_group_device(host_group(group), name);

	assert_non_null(device);
	return device;
}

void host_set_reset(unsigned int group, const char *name, bool there)
{
	char below[128];

	host_device(group, name)->resettable = there;
	snprintf(below, sizeof below, "devices/%s/resets", name);
	host_write(below, there ? "yes" : "no");
}

/* ---- whether it is as at the start ---- */

/* A record in the quarantine directory, but of devices that are there because they do not answer. */
static bool unexpected_quarantine(char text[256])
{
	char below[128];

	for (size_t i = 0; i < DEVICES_COUNT; i++) {
		snprintf(below, sizeof below, "devices/%s/answers", devices[i].name);
		if (strcmp(host_read(below), "no") == 0)
			continue;
		snprintf(below, sizeof below, "quarantine/%s", devices[i].name);
		if (*host_read(below)) {
			snprintf(text, 256, "a quarantine record of %s is left: %.200s", devices[i].name,
				host_read(below));
			return true;
		}
	}
	return false;
}

const char *host_difference(char text[256])
{
	char below[128];

	for (size_t i = 0; i < DEVICES_COUNT; i++) {
		snprintf(below, sizeof below, "devices/%s/driver", devices[i].name);
		if (strcmp(host_read(below), devices[i].driver) != 0) {
			snprintf(text, 256, "%s is with \"%s\", not \"%s\"", devices[i].name, host_read(below),
				devices[i].driver);
			return text;
		}
		snprintf(below, sizeof below, "devices/%s/override", devices[i].name);
		if (strcmp(host_read(below), devices[i].override) != 0) {
			snprintf(text, 256, "%s has the override \"%s\", not \"%s\"", devices[i].name, host_read(below),
				devices[i].override);
			return text;
		}
	}
	if (host_claims() > 0) {
		snprintf(text, 256, "a claim record is left: %.200s", entry_name);
		return text;
	}
	return unexpected_quarantine(text) ? text : NULL;
}
