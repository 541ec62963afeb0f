/* SPDX-License-Identifier: MIT */
#include "refusal.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

struct text {
	const char *name;
	const char *sentence;
	const char *advice;
};

static const struct text texts[REFUSAL_MAX] = {
	[REFUSAL_NONE] = {"NONE", "nothing was refused", "nothing to do"},
	[REFUSAL_NO_IOMMU] = {"NO_IOMMU", "no IOMMU protects this device",
		"switch the IOMMU on in the firmware (VT-d, AMD-Vi, SMMU) and boot with intel_iommu=on or "
		"iommu.passthrough=0; 'dmesg | grep -i -e DMAR -e IOMMU' shows whether it came up"},
	[REFUSAL_NO_DOMAINS] = {"NO_DOMAINS", "the kernel has no more IOMMU domains or no memory for one",
		"close domains that nobody needs, or put several devices into one domain"},
	[REFUSAL_DOMAIN_INCOMPATIBLE] = {"DOMAIN_INCOMPATIBLE",
		"the IOMMU domain is in use by another, incompatible device or was set up for another IOMMU type",
		"open a fresh domain for this device, or unmap what collides with its reserved IOVA ranges"},
	[REFUSAL_DEVICE_BAD_STATE] = {"DEVICE_BAD_STATE",
		"the device does not answer or cannot be brought to a known state",
		"look at 'dmesg' and 'lspci -vv -s DEVICE'; a slot reset, a rescan or a power cycle may bring it back"},
	[REFUSAL_NOT_A_DOMAIN] = {"NOT_A_DOMAIN", "what was passed as IOMMU domain is not one",
		"pass the file descriptor of an open /dev/vfio/vfio"},
	[REFUSAL_NOT_A_DEVICE] = {"NOT_A_DEVICE", "what was passed as device is not a device channel",
		"pass the device channel that OPEN returned"},
	[REFUSAL_GROUP_NOT_VIABLE] = {"GROUP_NOT_VIABLE",
		"another device of the same IOMMU group is driven by the host, so the group cannot be isolated",
		"an administrator can let this user take the named device as well (rebind = yes in a rule): both then "
		"leave their drivers together; or move one of the two to another slot"},
	[REFUSAL_DEVICE_BUSY] = {"DEVICE_BUSY", "somebody else has the device",
		"wait for the named holder or ask its owner to release it; 'vfio-brokerctl status' shows all of them"},
	[REFUSAL_NO_SUCH_DEVICE] = {"NO_SUCH_DEVICE", "there is no PCI device of that name",
		"'vfio-brokerctl list' shows the names; they look like 0000:01:00.0"},
	[REFUSAL_DENIED] = {"DENIED", "the policy does not let this user have that",
		"an administrator can allow it in /etc/vfio-broker/policy.d, which is in force when the file is saved; "
		"root needs a rule like everybody"},
	[REFUSAL_QUOTA] = {"QUOTA", "a limit of the service or the kernel is reached",
		"release something, or have the named limit raised"},
	[REFUSAL_MEMLOCK] = {"MEMLOCK", "mapping this memory for DMA would lock more of it than the process may",
		"raise LimitMEMLOCK= of the unit (or 'ulimit -l') to the need of the job, together with "
		"MemoryMax=; do not use 'infinity'"},
	[REFUSAL_IOVA_IN_USE] = {"IOVA_IN_USE", "something is mapped at these IOVAs already",
		"unmap it first or choose others"},
	[REFUSAL_IOVA_INVALID] = {"IOVA_INVALID", "the IOMMU cannot map these IOVAs",
		"use page-aligned addresses inside the usable ranges of the domain, or let the library choose"},
	[REFUSAL_NOT_BOUND] = {"NOT_BOUND", "the device is not bound to an IOMMU domain yet", "send BIND first"},
	[REFUSAL_ALREADY_BOUND] = {"ALREADY_BOUND", "the device is bound to an IOMMU domain already",
		"send UNBIND first"},
	[REFUSAL_QUARANTINED] = {"QUARANTINED", "the device is held back because its last use has not ended cleanly",
		"as root, 'vfio-brokerctl unquarantine DEVICE' resets the device and ends the quarantine, "
		"'release --force DEVICE' ends the quarantine without a reset; "
		"rules with reset = same-user or optional do without a reset; a keeper or helper that does not let "
		"go is helped by none of these: end the process that blocks it, or restart the machine"},
	[REFUSAL_REVOKED] = {"REVOKED", "the device was taken back",
		"the reason is named; open it again when it is free"},
	[REFUSAL_GONE] = {"GONE", "the device has left the machine", "plug it in again and open it anew"},
	[REFUSAL_UNSUPPORTED] = {"UNSUPPORTED", "this device, kernel or version of the service cannot do that",
		"see what DESCRIBE or HELLO offers"},
	[REFUSAL_MALFORMED] = {"MALFORMED", "the request breaks the rules of the protocol",
		"this is a mistake in the client program; PROTOCOL.md has the rules"},
	[REFUSAL_NO_KEEPER] = {"NO_KEEPER", "the process that would hold the device could not be started",
		"'systemctl status vfio-keeper.socket' and 'journalctl -u \"vfio-keeper@*\"' say why"},
	[REFUSAL_FAILED] = {"FAILED", "the kernel failed in a way that was not foreseen",
		"the detail names the step and the error; 'journalctl -u vfio-broker' and 'dmesg' may say more"},
	[REFUSAL_WINDOW_UNAVAILABLE] = {"WINDOW_UNAVAILABLE", "register windows are not available here",
		"use commands instead (REGION_READ and the like); for windows, have the kernel module "
		"vfio_window built and loaded ('modprobe vfio_window', Linux 6.10 or later) and "
		"vfio-broker.service restarted"},
	[REFUSAL_NOT_MEMORY] = {"NOT_MEMORY", "what was passed as memory cannot be mapped for DMA",
		"pass a memfd that is sealed against shrinking (F_SEAL_SHRINK), as vbroker_memory_alloc() makes them"},
	[REFUSAL_NOT_QUARANTINED] = {"NOT_QUARANTINED", "the device is not quarantined, so there is nothing to end",
		"'vfio-brokerctl list' shows the state of each device"},
	[REFUSAL_NOT_LEASABLE] = {"NOT_LEASABLE", "this device belongs to the machine itself and is never leased",
		"lease the devices behind it: 'vfio-brokerctl list' shows what can be leased, and by rules for single "
		"devices rather than 'address = *' the policy says what is meant"},
	[REFUSAL_IN_USE] = {"IN_USE", "the host itself uses the device",
		"end the named use first: unmount the file system, swapoff, take the interface down, end the program; "
		"or an administrator says in-use = take in the rule, and the host loses the device under its work"},
	[REFUSAL_NO_DOMAIN_FILE] = {"NO_DOMAIN_FILE",
		"this process cannot open /dev/vfio/vfio, by which an application has its IOMMU domain",
		"if the file is missing, 'modprobe vfio' makes it; its usual mode is 0666; a unit with PrivateDevices= "
		"or DevicePolicy= needs BindPaths=/dev/vfio/vfio and DeviceAllow=/dev/vfio/vfio rw"},
	[REFUSAL_ROOT_ONLY] = {"ROOT_ONLY", "this request is for root alone",
		"have an administrator do it, by sudo say; no rule of the policy allows it to others"},
	[REFUSAL_NO_REMAPPING] = {"NO_REMAPPING",
		"the IOMMU does not remap interrupts, so the device could forge any interrupt",
		"switch interrupt remapping on: in the firmware, and without intremap=off on the kernel's command "
		"line; 'dmesg | grep -i remapping' shows whether it came up; where all users are trusted, "
		"allow_unsafe_interrupts=1 of the module vfio_iommu_type1 does without"},
};

static const struct text unknown = {"UNKNOWN", "the service gave an answer that this program does not know",
	"the service is newer than this program: update it"};

static const struct text *text_of(int refusal)
{
	if (refusal < 0 || refusal >= REFUSAL_MAX)
		return &unknown;
	return &texts[refusal];
}

const char *refusal_name(int refusal)
{
	return text_of(refusal)->name;
}

const char *refusal_sentence(int refusal)
{
	return text_of(refusal)->sentence;
}

const char *refusal_advice(int refusal)
{
	return text_of(refusal)->advice;
}

int refuse(struct detail *detail, enum refusal refusal, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail->text, sizeof detail->text, format, arguments);
	va_end(arguments);
	return (int)refusal;
}

const char *refusal_quote(char *buffer, size_t size, const char *text, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	size_t used = 0;

	for (size_t i = 0; i < length && text[i] != '\0'; i++) {
		uint8_t c = (uint8_t)text[i];
		int plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '\'';

		if (size - used < (plain ? 2U : 5U))
			break;
		if (plain) {
			buffer[used++] = (char)c;
			continue;
		}
		buffer[used++] = '\\';
		buffer[used++] = 'x';
		buffer[used++] = digits[c >> 4];
		buffer[used++] = digits[c & 15];
	}
	buffer[used] = '\0';
	return buffer;
}

void refusal_printable(char *to, size_t size, const char *text, size_t length)
{
	size_t n = 0;

	for (; n < length && n + 1 < size; n++)
		to[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
	to[n] = '\0';
}
