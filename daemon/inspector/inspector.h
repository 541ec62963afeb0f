/* SPDX-License-Identifier: MIT */
#ifndef INSPECTOR_INSPECTOR_H
#define INSPECTOR_INSPECTOR_H

#include "inspector_message.h"
#include "packet.h"
#include "view.h"

/* Looks what the host does with the PCI device NAME. Returns 0, and *RET_USE has words or is empty; or a negative
 * errno: nobody can say. */
int inspector_look(const struct view *view, const char *name, char ret_use[USE_TEXT_SIZE]);

/* Makes REPLY to REQUEST, as received. Returns 0, or -EPROTO: it is no question. */
int inspector_answer(const struct view *view, const struct packet *request, struct packet *reply);

#endif
