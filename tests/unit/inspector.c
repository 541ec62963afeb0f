/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "inspector.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* An inspector on a host made of files: a disk nvme0n1 with a partition, and an interface eth0. */

#define DISK "0000:02:00.0"
#define NIC  "0000:03:00.0"

static char root[64];
static const char *claimed;   /* the disk that somebody has exclusively; NULL: none */
static int claim_error;	      /* errno; 0: the look works */
static const char *addresses; /* of every interface */
static const char *device;    /* the end of a link below /proc that leads to a device; NULL: none */
static mode_t device_kind;

static int is_claimed(const char *path)
{
	if (claim_error)
		return -claim_error;
	return claimed && strcmp(path + strlen(root), claimed) == 0;
}

static int addresses_of(const char *interface, char *text, size_t size)
{
	(void)interface;
	snprintf(text, size, "%s", addresses);
	return 0;
}

static bool is_device(const char *path, mode_t kind, dev_t number)
{
	return device && strcmp(path + strlen(root), device) == 0 && kind == device_kind && number != 0;
}

static struct view view = {.root = root, .is_claimed = is_claimed, .addresses = addresses_of, .is_device = is_device};

static void in_root(char name[256], const char *path)
{
	assert_true((size_t)snprintf(name, 256, "%s%s", root, path) < 256);
}

/* Makes the folders above PATH. */
static void make_way(const char *path)
{
	char name[256];

	in_root(name, path);
	for (char *slash = name + strlen(root); (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		assert_true(mkdir(name, 0700) == 0 || errno == EEXIST);
		*slash = '/';
	}
}

static void put(const char *path, const char *text)
{
	char name[256];
	FILE *file;

	make_way(path);
	in_root(name, path);
	file = fopen(name, "we");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void put_link(const char *path, const char *target)
{
	char name[256];

	make_way(path);
	in_root(name, path);
	unlink(name);
	assert_int_equal(symlink(target, name), 0);
}

#define PCI_DISK "/sys/devices/pci0000:00/" DISK
#define PCI_NIC	 "/sys/devices/pci0000:00/" NIC
#define BLOCK	 PCI_DISK "/nvme/nvme0/nvme0n1"

/* A folder of a block device, and its name in /sys/class. */
static void put_block(const char *folder, const char *name, const char *number)
{
	char path[192], target[256];

	snprintf(path, sizeof path, "%s/dev", folder);
	put(path, number);
	snprintf(path, sizeof path, "%s/subsystem", folder);
	put_link(path, "../class/block");
	snprintf(path, sizeof path, "/sys/class/block/%s", name);
	in_root(target, folder);
	put_link(path, target);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/inspector.XXXXXX");
	assert_non_null(mkdtemp(root));
	claimed = device = NULL;
	claim_error = 0;
	addresses = "";
	put_link("/sys/bus/pci/devices/" DISK, "../../../devices/pci0000:00/" DISK);
	put_link("/sys/bus/pci/devices/" NIC, "../../../devices/pci0000:00/" NIC);
	put(PCI_DISK "/vendor", "0x1b36\n");
	put(PCI_DISK "/nvme/nvme0/dev", "241:0\n");
	put_link(PCI_DISK "/nvme/nvme0/subsystem", "../class/nvme");
	/* A circle, as links of sysfs make them. */
	put_link(PCI_DISK "/nvme/nvme0/device", "../..");
	put_block(BLOCK, "nvme0n1", "259:0\n");
	put_block(BLOCK "/nvme0n1p1", "nvme0n1p1", "259:1\n");
	put(BLOCK "/nvme0n1p1/partition", "1\n");
	put(PCI_NIC "/vendor", "0x8086\n");
	put(PCI_NIC "/net/eth0/flags", "0x1002\n");
	put_link("/sys/class/net/eth0", "../../devices/pci0000:00/" NIC "/net/eth0");
	put("/proc/1/mountinfo", "22 1 254:0 / / rw - squashfs /dev/vda ro\n");
	put("/proc/swaps", "Filename Type Size Used Priority\n");
	put("/proc/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command);
}

static void expect(const char *name, const char *use)
{
	char text[USE_TEXT_SIZE] = "";

	assert_int_equal(inspector_look(&view, name, text), 0);
	assert_string_equal(text, use);
}

static void nothing_is_in_use(void **state)
{
	char text[USE_TEXT_SIZE];

	(void)state;
	expect(DISK, "");
	expect(NIC, "");
	assert_int_equal(inspector_look(&view, "0000:77:00.0", text), -ENODEV);
}

static void mounts_are_named(void **state)
{
	(void)state;
	put("/proc/1/mountinfo",
		"22 1 254:0 / / rw - squashfs /dev/vda ro\n30 22 259:1 / /srv/a\\040b rw,relatime shared:1 - ext4 "
		"/dev/nvme0n1p1 rw\n");
	expect(DISK, "mounted on /srv/a\\x5c040b by /dev/nvme0n1p1");
	/* btrfs has a number of its own. */
	put("/proc/1/mountinfo", "30 22 0:47 / /data rw - btrfs /dev/nvme0n1 rw\n");
	expect(DISK, "mounted on /data by /dev/nvme0n1");
	/* The name alone, and not its beginning. */
	put("/proc/1/mountinfo",
		"30 22 0:47 / /data rw - btrfs /dev/nvme0n10 rw\n31 22 0:48 / /t rw - tmpfs nvme0n1 rw\n");
	expect(DISK, "");
}

static void swap_and_holders_are_named(void **state)
{
	(void)state;
	put("/proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 16380 0 -2\n");
	expect(DISK, "swap on /dev/nvme0n1p1");
	put("/proc/swaps", "Filename Type Size Used Priority\n");
	put_block("/sys/devices/virtual/block/dm-0", "dm-0", "253:0\n");
	put("/sys/devices/virtual/block/dm-0/dm/name", "vg-srv\n");
	put_link(BLOCK "/nvme0n1p1/holders/dm-0", "../../dm-0");
	expect(DISK, "/dev/nvme0n1p1 is part of /dev/dm-0 (vg-srv)");
	put("/proc/1/mountinfo", "30 22 253:0 / /srv rw - ext4 /dev/mapper/vg-srv rw\n");
	expect(DISK, "mounted on /srv by /dev/dm-0 (vg-srv)");
	/* A circle of holders ends. */
	put("/proc/1/mountinfo", "");
	put_link("/sys/devices/virtual/block/dm-0/holders/dm-0", "../../dm-0");
	expect(DISK, "/dev/nvme0n1p1 is part of /dev/dm-0 (vg-srv)");
}

static void exclusive_open_counts(void **state)
{
	char text[USE_TEXT_SIZE];

	(void)state;
	claimed = "/dev/nvme0n1";
	expect(DISK, "somebody has /dev/nvme0n1 exclusively: a pool, or a mount in another namespace");
	claim_error = EACCES;
	assert_int_equal(inspector_look(&view, DISK, text), -EACCES);
}

/* Of two controllers of one subsystem: the disk is elsewhere. */
static void disk_with_several_paths(void **state)
{
	(void)state;
	put(PCI_NIC "/nvme/nvme3/nvme1c3n2/size", "8\n");
	put_block("/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n2", "nvme1n2", "259:9\n");
	put("/proc/1/mountinfo", "30 22 259:9 / /multi rw - ext4 /dev/nvme1n2 rw\n");
	expect(NIC, "mounted on /multi by /dev/nvme1n2");
}

/* Cut off, it would name another node. */
static void name_that_does_not_fit(void **state)
{
	const char *name = "a-name-longer-than-sixty-three-characters-which-no-driver-of-today-gives";
	char path[192], text[USE_TEXT_SIZE];

	(void)state;
	snprintf(path, sizeof path, PCI_DISK "/%s", name);
	put_block(path, name, "259:8\n");
	assert_int_equal(inspector_look(&view, DISK, text), -E2BIG);
}

static void interfaces_are_named(void **state)
{
	(void)state;
	put(PCI_NIC "/net/eth0/flags", "0x1003\n");
	expect(NIC, "eth0 is up");
	addresses = ", 10.0.0.5/24";
	put("/proc/net/route",
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
		"eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
		"eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\n");
	expect(NIC, "eth0 is up, 10.0.0.5/24, default route");
	put(PCI_NIC "/net/eth0/flags", "0x1002\n");
	put("/proc/net/route", "");
	expect(NIC, "eth0 is down, 10.0.0.5/24");
	addresses = "";
	put("/proc/net/ipv6_route",
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
		"fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n");
	expect(NIC, "eth0 is down, default route");
	put("/proc/net/ipv6_route", "");
	put_link(PCI_NIC "/net/eth0/upper_vlan7", "../vlan7");
	expect(NIC, "eth0 is down, below vlan7");
	put_link(PCI_NIC "/net/eth0/master", "../../virtual/net/br0");
	expect(NIC, "eth0 is down, below br0");
}

/* Its folder stays, and shows nothing. */
static void interface_elsewhere_is_in_use(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s" PCI_NIC "/net/eth0", root);
	assert_int_equal(system(command), 0);
	expect(NIC, "its network interface is in another network namespace");
}

static void open_nodes_are_named(void **state)
{
	(void)state;
	put("/proc/42/comm", "nvme-\033[2Jd\n");
	put_link("/proc/42/fd/5", "/dev/nvme0");
	/* A file of that name is not the device. */
	expect(DISK, "");
	device = "/proc/42/fd/5";
	device_kind = S_IFCHR;
	expect(DISK, "/dev/nvme0 is open in nvme-\\x1b[2Jd (pid 42)");
	/* A disk counts when it is open for writing. */
	put_link("/proc/42/fd/5", "/dev/nvme0n1");
	device_kind = S_IFBLK;
	put("/proc/42/fdinfo/5", "pos:\t0\nflags:\t0100000\n");
	expect(DISK, "");
	put("/proc/42/fdinfo/5", "pos:\t0\nflags:\t0100002\n");
	expect(DISK, "/dev/nvme0n1 is open in nvme-\\x1b[2Jd (pid 42)");
}

static void consoles_count(void **state)
{
	(void)state;
	put(PCI_NIC "/graphics/fb0/dev", "29:0\n");
	expect(NIC, "");
	put("/sys/class/vtconsole/vtcon0/name", "(S) dummy device\n");
	put("/sys/class/vtconsole/vtcon0/bind", "1\n");
	put("/sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
	put("/sys/class/vtconsole/vtcon1/bind", "0\n");
	expect(NIC, "");
	put("/sys/class/vtconsole/vtcon1/bind", "1\n");
	expect(NIC, "fb0 shows the console");
}

/* Several facts, as many as fit, each whole. */
static void facts_are_joined(void **state)
{
	(void)state;
	put("/proc/1/mountinfo", "30 22 259:1 / /srv rw - ext4 /dev/nvme0n1p1 rw\n");
	put("/proc/swaps", "Filename Type\n/dev/nvme0n1 partition 16380 0 -2\n");
	put("/proc/42/comm", "a-name-of-15-ch\n");
	put_link("/proc/42/fd/5", "/dev/nvme0");
	device = "/proc/42/fd/5";
	device_kind = S_IFCHR;
	expect(DISK,
		"swap on /dev/nvme0n1; mounted on /srv by /dev/nvme0n1p1; /dev/nvme0 is open in a-name-of-15-ch "
		"(pid 42)");
}

static void questions_are_checked(void **state)
{
	static struct packet question, answer;
	struct inspector_request *request;
	const struct inspector_reply *reply;

	(void)state;
	packet_init(&question);
	packet_init(&answer);
	packet_request(&question, INSPECTOR_LOOK, 1);
	assert_int_equal(inspector_answer(&view, &question, &answer), -EPROTO);
	request = packet_append(&question, sizeof *request);
	strcpy(request->name, "../x");
	assert_int_equal(inspector_answer(&view, &question, &answer), -EPROTO);
	strcpy(request->name, NIC);
	put(PCI_NIC "/net/eth0/flags", "0x1003\n");
	assert_int_equal(inspector_answer(&view, &question, &answer), 0);
	reply = packet_body(&answer, sizeof *reply);
	assert_int_equal(reply->error, 0);
	assert_string_equal(reply->use, "eth0 is up");
	question.header.type = 7;
	assert_int_equal(inspector_answer(&view, &question, &answer), -EPROTO);
}

#define LOOK_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOK_TEST(nothing_is_in_use),
		LOOK_TEST(mounts_are_named),
		LOOK_TEST(swap_and_holders_are_named),
		LOOK_TEST(exclusive_open_counts),
		LOOK_TEST(disk_with_several_paths),
		LOOK_TEST(name_that_does_not_fit),
		LOOK_TEST(interfaces_are_named),
		LOOK_TEST(interface_elsewhere_is_in_use),
		LOOK_TEST(open_nodes_are_named),
		LOOK_TEST(consoles_count),
		LOOK_TEST(facts_are_joined),
		LOOK_TEST(questions_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
