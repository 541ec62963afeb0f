/* SPDX-License-Identifier: MIT */
#ifndef PROTO_REFUSAL_H
#define PROTO_REFUSAL_H

#include <stddef.h>

/*
 * The documented answers other than yes. The numbers are part of the protocol: a number never changes and is never
 * used again. Functions able to refuse return 0, a negative errno (a step failed here), or an enum refusal.
 */
enum refusal {
	REFUSAL_NONE = 0,
	/* The four cases of the mailing list thread of 2010. */
	REFUSAL_NO_IOMMU = 1,
	REFUSAL_NO_DOMAINS = 2,
	REFUSAL_DOMAIN_INCOMPATIBLE = 3,
	REFUSAL_DEVICE_BAD_STATE = 4,
	/* A wrong file was passed. */
	REFUSAL_NOT_A_DOMAIN = 5,
	REFUSAL_NOT_A_DEVICE = 6,
	/* The device cannot be had. */
	REFUSAL_GROUP_NOT_VIABLE = 7,
	REFUSAL_DEVICE_BUSY = 8,
	REFUSAL_NO_SUCH_DEVICE = 9,
	REFUSAL_DENIED = 10,
	REFUSAL_QUOTA = 11,
	/* Memory. */
	REFUSAL_MEMLOCK = 12,
	REFUSAL_IOVA_IN_USE = 13,
	REFUSAL_IOVA_INVALID = 14,
	/* A request in the wrong state of the device. */
	REFUSAL_NOT_BOUND = 15,
	REFUSAL_ALREADY_BOUND = 16,
	/* The device was taken away. */
	REFUSAL_QUARANTINED = 17,
	REFUSAL_REVOKED = 18,
	REFUSAL_GONE = 19,
	/* The request itself. */
	REFUSAL_UNSUPPORTED = 20,
	REFUSAL_MALFORMED = 21,
	/* A part of the service is missing, or the kernel failed in a way nobody foresaw (the detail has the errno). */
	REFUSAL_NO_KEEPER = 22,
	REFUSAL_FAILED = 23,
	/* Without the kernel module registers are reached by commands alone. */
	REFUSAL_WINDOW_UNAVAILABLE = 24,
	/* A file passed as memory is no usable memory. */
	REFUSAL_NOT_MEMORY = 25,
	/* UNQUARANTINE by an administrator. */
	REFUSAL_NOT_QUARANTINED = 26,
	/* A bridge, or another part of the machine's own. */
	REFUSAL_NOT_LEASABLE = 27,
	/* The host itself works with the device: a mounted disk, an interface that is up. */
	REFUSAL_IN_USE = 28,
	/* The client's own process cannot open /dev/vfio/vfio (a client library's answer). */
	REFUSAL_NO_DOMAIN_FILE = 29,
	/* A request of an administrator, which no policy can allow to others. */
	REFUSAL_ROOT_ONLY = 30,
	/* The IOMMU is there, but does not keep interrupts apart. */
	REFUSAL_NO_REMAPPING = 31,
	REFUSAL_MAX,
};

/* Room for one detail, NUL included. Longer details are cut. */
#define DETAIL_SIZE 256

/*
 * The subject of a refusal, in words: the sibling device and its driver, the holder's uid, pid and unit, the limit
 * and the need. The caller provides the memory; empty when text[0] is NUL.
 */
struct detail {
	char text[DETAIL_SIZE];
};

/* Writes the detail and returns REFUSAL, so a refusal is one statement: return refuse(detail, ...). */
int refuse(struct detail *detail, enum refusal refusal, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * Copies TEXT, sent by a client, into BUFFER in a form safe to print: control characters, quotes,
 * backslashes and bytes beyond ASCII become \xNN. Reads at most LENGTH bytes of TEXT, stops at a NUL. Returns BUFFER.
 */
const char *refusal_quote(char *buffer, size_t size, const char *text, size_t length);

/*
 * Copies at most LENGTH bytes of TEXT, sent by a server, to TO and adds a NUL; cuts the text to fit SIZE. Bytes
 * other than printable ASCII become '?', because the text will reach a terminal.
 */
void refusal_printable(char *to, size_t size, const char *text, size_t length);

/* Constant strings; never NULL. An unknown number gives "UNKNOWN" and a sentence for unknown answers. */
const char *refusal_name(int refusal);
const char *refusal_sentence(int refusal);
/* Advice for a person: how to remove the obstacle. */
const char *refusal_advice(int refusal);

#endif
