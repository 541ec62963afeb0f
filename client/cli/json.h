/* SPDX-License-Identifier: MIT */
#ifndef JSON_H
#define JSON_H

#include <json-c/json.h>
#include <stdint.h>
#include <vfio-broker.h>

/*
 * JSON for scripts: the field names are documented in vfio-brokerctl(1) and stay. Each json_add_... adds a field to
 * OBJECT. Without memory a field is lost rather than the program; json_print() then says so.
 */
void json_add_text(struct json_object *object, const char *name, const char *text); /* NULL or "": null */
void json_add_number(struct json_object *object, const char *name, uint64_t number);
void json_add_bool(struct json_object *object, const char *name, int truth);
/* Four or six hexadecimal digits, as lspci writes them. */
void json_add_hex(struct json_object *object, const char *name, uint32_t number, int digits);
/* Null for VBROKER_GROUP_NONE. */
void json_add_group(struct json_object *object, uint32_t group);
/* Null for nobody; else an object with uid, user, pid and unit. */
void json_add_holder(struct json_object *object, const char *name, const struct vbroker_holder *holder);

/* Prints VALUE on stdout and frees VALUE. Returns an enum cli_exit. */
int json_print(struct json_object *value);

/* json_print() on one line, for output that goes on. */
int json_print_line(struct json_object *value);

#endif
