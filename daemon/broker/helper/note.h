/* SPDX-License-Identifier: MIT */
#ifndef BROKER_NOTE_H
#define BROKER_NOTE_H

#include "state/broker.h"

/*
 * The order of a helper, in a memfd that is kept in systemd's fd store beside the helper's connection: the next broker
 * learns from the note what a helper of a killed broker is doing. Only brokers have the memfd.
 */
struct helper_note {
	uint64_t since_us; /* beginning of the order, CLOCK_MONOTONIC */
	uint32_t pid;	   /* 0: the helper has not answered HELLO */
	uint32_t order;	   /* enum helper_type; 0: no order is in work */
	uint32_t group;	   /* or GROUP_NONE */
	uint32_t uid;
	char device[DEVICE_NAME_SIZE];
	char driver[DEVICE_NAME_SIZE];
};

/* Returns a memfd that is the caller's, or a negative errno. */
int note_make(void);

/* Writes the present order of HELPER. Comes before the order is sent, and after the reply. */
void note_write(const struct helper *helper);

/* Reads FD. Returns false if FD has no valid note: then the helper's order is not known. */
bool note_read(int fd, struct helper_note *ret_note);

#endif
