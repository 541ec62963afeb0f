/* SPDX-License-Identifier: MIT */
#include "device_name.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SLOT_MAX     0x1f /* five bits: PCI_SLOT() in the kernel's include/uapi/linux/pci.h */
#define FUNCTION_MAX 7

/* The text in between. */
struct part {
	const char *text;
	size_t length;
};

/* Reads hexadecimal digits, and moves PART behind them. Returns how many there are, or 0 if there are more than MAX. */
static size_t read_hex(struct part *part, size_t max, uint32_t *ret_value)
{
	size_t n = 0;

	*ret_value = 0;
	while (n < part->length && isxdigit((unsigned char)part->text[n])) {
		const char c = (char)tolower((unsigned char)part->text[n++]);

		*ret_value = *ret_value << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	part->text += n;
	part->length -= n;
	return n <= max ? n : 0;
}

static bool read_separator(struct part *part, char separator)
{
	if (part->length == 0 || *part->text != separator)
		return false;
	part->text++;
	part->length--;
	return true;
}

/* The last component of a path, without slashes behind it. */
static struct part last_component(const char *text)
{
	size_t length = strlen(text), start;

	while (length > 0 && text[length - 1] == '/')
		length--;
	start = length;
	while (start > 0 && text[start - 1] != '/')
		start--;
	return (struct part){text + start, length - start};
}

bool device_name_parse(const char *text, char ret_name[DEVICE_NAME_SIZE])
{
	static const char libvirt[] = "pci_";
	struct part part = last_component(text);
	char colon = ':', dot = '.';
	uint32_t domain, bus, slot, function;
	size_t digits;

	memset(ret_name, 0, DEVICE_NAME_SIZE);
	if (part.length > strlen(libvirt) && memcmp(part.text, libvirt, strlen(libvirt)) == 0) {
		part.text += strlen(libvirt);
		part.length -= strlen(libvirt);
		colon = dot = '_';
	}
	digits = read_hex(&part, 8, &domain);
	if (digits == 0 || !read_separator(&part, colon) || read_hex(&part, 2, &bus) == 0)
		return false;
	if (!read_separator(&part, colon)) {
		/* Two numbers only: the bus and the slot, of domain 0. */
		if (digits > 2)
			return false;
		slot = bus;
		bus = domain;
		domain = 0;
	} else if (read_hex(&part, 2, &slot) == 0) {
		return false;
	}
	if (!read_separator(&part, dot) || read_hex(&part, 1, &function) == 0 || part.length > 0 || slot > SLOT_MAX ||
		function > FUNCTION_MAX)
		return false;
	/* As drivers/pci/probe.c names devices. */
	snprintf(ret_name, DEVICE_NAME_SIZE, "%04x:%02x:%02x.%x", domain, bus, slot, function);
	return true;
}

bool device_name_valid(const char name[DEVICE_NAME_SIZE])
{
	char parsed[DEVICE_NAME_SIZE];

	/* Of all that can be read, only what the kernel writes itself. A domain of five to eight digits has no zeros in
	 * front. */
	return strnlen(name, DEVICE_NAME_SIZE) < DEVICE_NAME_SIZE && device_name_parse(name, parsed) &&
		memcmp(name, parsed, DEVICE_NAME_SIZE) == 0;
}
