/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <ctype.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

/* Base class and subclass, as in linux/pci_ids.h; a subclass of ANY stands for all others of its base. */
#define ANY 0x100

static const struct {
	uint32_t base;
	uint32_t subclass;
	const char *name;
} classes[] = {
	{0x00, ANY, "unclassified"},
	{0x01, 0x00, "SCSI"},
	{0x01, 0x01, "IDE"},
	{0x01, 0x04, "RAID"},
	{0x01, 0x06, "SATA"},
	{0x01, 0x07, "SAS"},
	{0x01, 0x08, "NVMe"},
	{0x01, ANY, "storage"},
	{0x02, 0x00, "Ethernet"},
	{0x02, 0x07, "InfiniBand"},
	{0x02, ANY, "network"},
	{0x03, 0x00, "VGA"},
	{0x03, 0x02, "3D"},
	{0x03, ANY, "display"},
	{0x04, 0x00, "video"},
	{0x04, ANY, "audio"},
	{0x05, ANY, "memory"},
	{0x06, 0x00, "host bridge"},
	{0x06, 0x01, "ISA bridge"},
	{0x06, 0x04, "PCI bridge"},
	{0x06, ANY, "bridge"},
	{0x07, 0x00, "serial port"},
	{0x07, ANY, "communication"},
	{0x08, ANY, "system"},
	{0x09, ANY, "input"},
	{0x0b, ANY, "processor"},
	{0x0c, 0x03, "USB"},
	{0x0c, 0x05, "SMBus"},
	{0x0c, ANY, "serial bus"},
	{0x0d, ANY, "wireless"},
	{0x10, ANY, "encryption"},
	{0x11, ANY, "signal processing"},
	{0x12, ANY, "accelerator"},
	{0x13, ANY, "instrumentation"},
	{0xff, ANY, "unassigned"},
};

const char *text_class(uint32_t class_code)
{
	uint32_t base = class_code >> 16 & 0xff;
	uint32_t subclass = class_code >> 8 & 0xff;

	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
		if (classes[i].base == base && (classes[i].subclass == subclass || classes[i].subclass == ANY))
			return classes[i].name;
	}
	return "";
}

const char *text_reset(enum vbroker_reset_method method)
{
	switch (method) {
	case VBROKER_RESET_METHOD_NONE:
		return "none";
	case VBROKER_RESET_METHOD_FUNCTION:
		return "function";
	case VBROKER_RESET_METHOD_BUS:
	case VBROKER_RESET_METHOD_SHARED_BUS:
		return "bus";
	}
	return "unknown";
}

const char *text_state(enum vbroker_device_state state)
{
	switch (state) {
	case VBROKER_STATE_FREE:
		return "free";
	case VBROKER_STATE_CLAIMING:
		return "claiming";
	case VBROKER_STATE_LEASED:
		return "leased";
	case VBROKER_STATE_RELEASING:
		return "releasing";
	case VBROKER_STATE_RESTORING:
		return "restoring";
	case VBROKER_STATE_QUARANTINED:
		return "quarantined";
	}
	return "unknown"; /* of a newer broker */
}

const char *text_user(uint32_t uid)
{
	const struct passwd *user = getpwuid(uid);

	return user ? user->pw_name : NULL;
}

const char *text_holder(const struct vbroker_holder *holder, char *buffer, size_t size)
{
	const char *user = text_user(holder->uid);
	char uid[32];

	snprintf(uid, sizeof uid, "uid %" PRIu32, holder->uid);
	if (holder->pid == 0)
		snprintf(buffer, size, "%s", "");
	else
		snprintf(buffer, size, "%s, pid %" PRIu32 "%s%.*s", user ? user : uid, holder->pid,
			holder->unit[0] ? ", " : "", (int)sizeof holder->unit, holder->unit);
	return buffer;
}

static const struct {
	uint64_t seconds;
	const char *name;
} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};

const char *text_duration(uint64_t microseconds, char *buffer, size_t size)
{
	const size_t last = sizeof units / sizeof units[0] - 1;
	uint64_t seconds = microseconds / 1000000;
	size_t i = 0;

	while (i < last && seconds < units[i].seconds)
		i++;
	if (i == last)
		snprintf(buffer, size, "%" PRIu64 " s", seconds);
	else
		snprintf(buffer, size, "%" PRIu64 " %s %" PRIu64 " %s", seconds / units[i].seconds, units[i].name,
			seconds % units[i].seconds / units[i + 1].seconds, units[i + 1].name);
	return buffer;
}

void text_device(char name[TEXT_DEVICE_SIZE], const char *typed)
{
	if (vbroker_device_address(typed, name) == 0)
		return;
	/* What is none is left to the service, or to the journal, to be found missing. It may be printed before. */
	snprintf(name, TEXT_DEVICE_SIZE, "%s", typed);
	for (char *c = name; *c; c++)
		*c = isprint((unsigned char)*c) ? *c : '?';
}
