/* SPDX-License-Identifier: MIT */
#ifndef PROTO_CHANGE_H
#define PROTO_CHANGE_H

/* The name of an enum change_kind in events and journal entries: a constant string; "unknown" for other numbers. */
const char *change_name(int kind);

#endif
