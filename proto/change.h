/* SPDX-License-Identifier: MIT */
#ifndef PROTO_CHANGE_H
#define PROTO_CHANGE_H

/* The name of an enum change_kind, as events and journal entries have it: a constant string; "unknown" for another number. */
const char *change_name(int kind);

#endif
