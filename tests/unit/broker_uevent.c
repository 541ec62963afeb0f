/* SPDX-License-Identifier: MIT */
#include "host/host.h"
#include "host/uevent.h"
#include "unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADD                                                                                                            \
	"add@/devices/pci0000:00/0000:00:05.0/0000:01:00.0\0ACTION=add\0"                                              \
	"DEVPATH=/devices/pci0000:00/0000:00:05.0/0000:01:00.0\0SUBSYSTEM=pci\0PCI_CLASS=FF00\0PCI_ID=1234:11E8\0"     \
	"PCI_SUBSYS_ID=1AF4:1100\0PCI_SLOT_NAME=0000:01:00.0\0MODALIAS=pci:v00001234d000011E8\0SEQNUM=1234"

static void device_comes_and_goes(void **state)
{
	static const char remove[] =
		"remove@/devices/x\0ACTION=remove\0SUBSYSTEM=pci\0PCI_SLOT_NAME=10000:e1:00.0\0SEQNUM=9";
	enum host_change change;
	char name[DEVICE_NAME_SIZE];

	(void)state;
	assert_true(uevent_parse(ADD, sizeof ADD, &change, name));
	assert_int_equal(change, HOST_ADDED);
	assert_string_equal(name, "0000:01:00.0");
	assert_true(uevent_parse(remove, sizeof remove, &change, name));
	assert_int_equal(change, HOST_REMOVED);
	assert_string_equal(name, "10000:e1:00.0");
}

/* The link from a virtual function to its physical one comes after the device. */
static void changed_device_is_read_again(void **state)
{
	static const char message[] =
		"change@/devices/x\0ACTION=change\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:05:10.0\0SEQNUM=9";
	enum host_change change = HOST_MISSED;
	char name[DEVICE_NAME_SIZE];

	(void)state;
	assert_true(uevent_parse(message, sizeof message, &change, name));
	assert_int_equal(change, HOST_ADDED);
	assert_string_equal(name, "0000:05:10.0");
}

/* The lists show the driver without a look. */
static void drivers_come_and_go(void **state)
{
	static const char bound[] = "bind@/x\0ACTION=bind\0SUBSYSTEM=pci\0DRIVER=nvme\0PCI_SLOT_NAME=0000:01:00.0",
			  unbound[] = "unbind@/x\0ACTION=unbind\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0",
			  driver[] = "add@/x\0ACTION=add\0DEVPATH=/bus/pci/drivers/nvme\0SUBSYSTEM=drivers";
	enum host_change change = HOST_MISSED;
	char name[DEVICE_NAME_SIZE];

	(void)state;
	assert_true(uevent_parse(bound, sizeof bound, &change, name));
	assert_int_equal(change, HOST_BOUND);
	assert_string_equal(name, "0000:01:00.0");
	assert_true(uevent_parse(unbound, sizeof unbound, &change, name));
	assert_int_equal(change, HOST_ADDED);
	assert_string_equal(name, "0000:01:00.0");
	assert_true(uevent_parse(driver, sizeof driver, &change, name));
	assert_int_equal(change, HOST_DRIVER);
	assert_string_equal(name, "");
}

struct other {
	const char *message;
	size_t size;
};
#define OTHER(text)                                                                                                    \
	{                                                                                                              \
		text, sizeof text                                                                                      \
	}

static void others_are_not_listened_to(void **state)
{
	static const struct other others[] = {
		OTHER("move@/x\0ACTION=move\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0"),
		OTHER("add@/x\0ACTION=add\0DEVPATH=/bus/usb/drivers/x\0SUBSYSTEM=drivers"),
		OTHER("remove@/x\0ACTION=remove\0DEVPATH=/bus/pci/drivers/x\0SUBSYSTEM=drivers"),
		OTHER("add@/x\0ACTION=add\0SUBSYSTEM=drivers"),
		/* udevadm trigger --action=remove: the device stays */
		OTHER("remove@/x\0ACTION=remove\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0\0SYNTH_UUID=0"),
		OTHER("add@/x\0ACTION=add\0SUBSYSTEM=pci_bus\0PCI_SLOT_NAME=0000:01:00.0"),
		OTHER("add@/x\0ACTION=add\0SUBSYSTEM=pci"),
		OTHER("add@/x\0ACTION=add\0PCI_SLOT_NAME=0000:01:00.0"),
		OTHER("add@/x\0SUBSYSTEM=pci\0PCI_SLOT_NAME=0000:01:00.0"),
		OTHER("ACTION\0SUBSYSTEM\0PCI_SLOT_NAME"),
		OTHER("add@/x\0ACTION=add\0SUBSYSTEM=pci\0PCI_SLOT_NAME=../../etc"),
		OTHER("add@/x\0ACTION=add\0SUBSYSTEM=pci\0PCI_SLOT_NAME="),
		OTHER("add@/x\0ACTION=add\0SUBSYSTEM=pci\0"
		      "PCI_SLOT_NAME=0000:01:00.00000:01:00.00000:01:00.00000:01:00.0"),
		OTHER(""),
		{"", 0},
		/* cut off in the middle of a string */
		{ADD, sizeof ADD - 1},
	};
	enum host_change change = HOST_MISSED;
	char name[DEVICE_NAME_SIZE] = "untouched";

	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_false(uevent_parse(others[i].message, others[i].size, &change, name));
	assert_int_equal(change, HOST_MISSED);
	assert_string_equal(name, "untouched");
}

/* A socket pair plays the kernel. */
static void messages_are_taken_off_one_by_one(void **state)
{
	enum host_change change;
	char name[DEVICE_NAME_SIZE];
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[0], ADD, sizeof ADD), sizeof ADD);
	assert_int_equal(write(pair[0], "change@/x", 10), 10);
	assert_int_equal(uevent_read(pair[1], &change, name), 1);
	assert_string_equal(name, "0000:01:00.0");
	assert_int_equal(uevent_read(pair[1], &change, name), 0);
	assert_int_equal(uevent_read(pair[1], &change, name), -EAGAIN);
	close(pair[0]);
	close(pair[1]);
}

static void the_kernel_gives_a_socket(void **state)
{
	enum host_change change;
	char name[DEVICE_NAME_SIZE];
	int fd = uevent_open(), r;

	(void)state;
	assert_true(fd >= 0);
	do
		r = uevent_read(fd, &change, name);
	while (r >= 0); /* this machine's own */
	assert_int_equal(r, -EAGAIN);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_comes_and_goes),
		cmocka_unit_test(changed_device_is_read_again),
		cmocka_unit_test(drivers_come_and_go),
		cmocka_unit_test(others_are_not_listened_to),
		cmocka_unit_test(messages_are_taken_off_one_by_one),
		cmocka_unit_test(the_kernel_gives_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
