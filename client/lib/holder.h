/* SPDX-License-Identifier: MIT */
#ifndef LIB_HOLDER_H
#define LIB_HOLDER_H

#include "message.h"
#include "text.h"
#include "vfio-broker.h"

/* Converts a holder from the wire struct to the public struct. */
static inline void holder_read(struct vbroker_holder *holder, const struct holder_record *record)
{
	holder->uid = record->uid;
	holder->pid = record->pid;
	text_copy(holder->unit, sizeof holder->unit, record->unit, sizeof record->unit);
}

#endif
