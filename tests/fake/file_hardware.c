/* SPDX-License-Identifier: MIT */
#include "fdset.h"
#include "file_tree.h"
#include "hardware.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A helper's half of the host made of a directory (file_tree.h). */

/* Command and status of a device that answers: memory decoding, and a list of capabilities. */
#define COMMAND_STATUS 0x00100002

static int fake_read_ids(const char *name, uint32_t ret_words[2])
{
	unsigned int vendor, device;
	char text[128];
	int r;

	tree_hang("ids", name);
	r = tree_read(name, "ids", text, sizeof text);
	if (r < 0)
		return r;
	if (sscanf(text, "%x %x", &vendor, &device) != 2)
		return -EINVAL;
	ret_words[0] = vendor | device << 16;
	ret_words[1] = COMMAND_STATUS;
	tree_read(name, "physfn", text, sizeof text);
	if (text[0])
		ret_words[0] = UINT32_MAX;
	tree_read(name, "answers", text, sizeof text);
	if (strcmp(text, "no") == 0)
		ret_words[0] = ret_words[1] = UINT32_MAX;
	return 0;
}

static int fake_inspect(const char *name, int inspector, char ret_use[USE_TEXT_SIZE])
{
	(void)inspector;
	tree_hang("inspect", name);
	tree_read(name, "use", ret_use, USE_TEXT_SIZE);
	return strcmp(ret_use, "unknown") == 0 ? -ENOTCONN : 0;
}

static int fake_override_get(const char *name, char ret_driver[DEVICE_NAME_SIZE])
{
	tree_hang("override-get", name);
	tree_read(name, "override", ret_driver, DEVICE_NAME_SIZE);
	return 0;
}

static int fake_override_set(const char *name, const char *driver)
{
	tree_hang("override-set", name);
	return tree_write(name, "override", driver);
}

static int fake_driver_unbind(const char *name, const char *driver)
{
	char present[DEVICE_NAME_SIZE];

	tree_hang("unbind", name);
	if (tree_read(name, "driver", present, sizeof present) < 0 || strcmp(present, driver) != 0)
		return -ENODEV;
	return tree_write(name, "driver", "");
}

static int fake_driver_bind(const char *name, const char *driver)
{
	char path[512], text[128];

	tree_hang("bind", name);
	snprintf(path, sizeof path, "%s/drivers/%s", tree_root(), driver);
	if (access(path, F_OK) < 0)
		return -ENOENT;
	if (tree_read(name, "ids", text, sizeof text) < 0)
		return -ENODEV;
	tree_read(name, "driver", text, sizeof text);
	if (text[0])
		return -EBUSY;
	tree_read(name, "override", text, sizeof text);
	if (text[0] && strcmp(text, driver) != 0)
		return -ENODEV;
	return tree_write(name, "driver", driver);
}

/* No driver of the tree appears. */
static int fake_driver_probe(const char *name)
{
	char text[128];

	tree_hang("probe", name);
	return tree_read(name, "ids", text, sizeof text) < 0 ? -ENODEV : 0;
}

static int fake_quiet(const char *name, uint16_t *ret_command)
{
	unsigned int command = COMMAND_STATUS & UINT16_MAX;
	char text[128];

	tree_hang("quiet", name);
	if (tree_read(name, "ids", text, sizeof text) < 0)
		return -ENODEV;
	tree_read(name, "command", text, sizeof text);
	if (text[0] && sscanf(text, "%x", &command) != 1)
		return -EINVAL;
	*ret_command = (uint16_t)command;
	snprintf(text, sizeof text, "%04x", (command & ~(unsigned int)PCI_COMMAND_MASTER) | PCI_COMMAND_INTX_DISABLE);
	return tree_write(name, "command", text);
}

static int fake_reset(const char *name)
{
	char text[128];

	tree_hang("reset", name);
	if (tree_read(name, "ids", text, sizeof text) < 0)
		return -ENODEV;
	tree_read(name, "resets", text, sizeof text);
	if (strcmp(text, "no") == 0 || strcmp(text, "bus") == 0)
		return -ENOTTY;
	tree_read(name, "fails", text, sizeof text);
	return strcmp(text, "reset") == 0 ? -EIO : tree_write(name, "was-reset", "yes");
}

/* Only the device of the order says so: that the others on the bus are reset with it, the broker knows. */
static int fake_reset_bus(int group, const char *name)
{
	char text[128];

	(void)group;
	tree_hang("reset-bus", name);
	if (tree_read(name, "ids", text, sizeof text) < 0)
		return -ENODEV;
	tree_read(name, "fails", text, sizeof text);
	return strcmp(text, "reset") == 0 ? -EBUSY : tree_write(name, "was-reset", "bus");
}

static int fake_group_open(uint32_t group)
{
	/* The lock belongs to the open file and goes with its fd to the keeper, as a group's exclusiveness does. */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[512], number[16];
	OWNED_FD fd = -1;

	snprintf(number, sizeof number, "%u", group);
	tree_hang("group", number);
	snprintf(path, sizeof path, "%s/groups/%s", tree_root(), number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return -EBUSY;
	return fd_take(&fd);
}

static int fake_window_open(void)
{
	char path[512];
	int fd;

	tree_hang("window", "");
	snprintf(path, sizeof path, "%s/window", tree_root());
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static const struct sandbox_rule rules[] = {
	{SCMP_SYS(openat), 0, 0, 0},
	{SCMP_SYS(read), 0, 0, 0},
	{SCMP_SYS(write), 0, 0, 0},
	/* access() is one of the two */
	{SCMP_SYS(access), 0, 0, 0},
	{SCMP_SYS(faccessat), 0, 0, 0},
	{SCMP_SYS(fcntl), 1, UINT32_MAX, F_OFD_SETLK},
	/* tree_hang() */
	{SCMP_SYS(nanosleep), 0, 0, 0},
	{SCMP_SYS(clock_nanosleep), 0, 0, 0},
};

static const struct hardware hardware_fake = {
	.rules = rules,
	.rule_count = sizeof rules / sizeof rules[0],
	.read_ids = fake_read_ids,
	.inspect = fake_inspect,
	.override_get = fake_override_get,
	.override_set = fake_override_set,
	.driver_unbind = fake_driver_unbind,
	.driver_bind = fake_driver_bind,
	.driver_probe = fake_driver_probe,
	.quiet = fake_quiet,
	.reset = fake_reset,
	.reset_bus = fake_reset_bus,
	.group_open = fake_group_open,
	.window_open = fake_window_open,
};

const struct hardware *helper_hardware(void)
{
	return &hardware_fake;
}
