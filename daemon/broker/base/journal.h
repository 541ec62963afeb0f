/* SPDX-License-Identifier: MIT */
#ifndef BROKER_JOURNAL_H
#define BROKER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Structured entries for systemd's journal, by its native protocol: one datagram of NAME=value lines per entry
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). Not sd_journal_sendv(): its socket is a blocking one, out of
 * the caller's reach. A journald that is stopped, or waits for a disk, would stop the broker once the socket's queue is
 * full. Here an entry without room in the queue is lost, and the caller is told.
 */
struct journal {
	const char *path; /* borrowed; NULL: no journal */
	int fd;		  /* -1: not connected */
};

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Whether stderr goes to the journal: systemd says so in $JOURNAL_STREAM. */
bool journal_has_stderr(void);

/* Connects to PATH, a constant; NULL: there is no journal. A failure to connect is tried again with each entry. */
void journal_open(struct journal *journal, const char *path);
void journal_close(struct journal *journal);

/* One entry under construction. Fields without room are left out; the important fields come first. */
struct journal_entry {
	size_t used;
	char text[2048];
};

/* Adds NAME=value. Whatever is not printable ASCII becomes '?', line ends above all: a value is never two fields. */
void journal_add(struct journal_entry *entry, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Sends ENTRY. Never waits. Returns 0 or a negative errno: the entry is lost (-EAGAIN: the journal does not read). */
int journal_send(struct journal *journal, const struct journal_entry *entry);

#endif
