/* SPDX-License-Identifier: MIT */
/*
 * json POINTER...: reads one JSON document from standard input, which must be nothing else, and prints the value at
 * each JSON pointer (RFC 6901; "/-" after an array: its length) on a line. Exit code 1: not JSON, or no such value.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json_object *read_document(void)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *document;
	static char text[1 << 20];
	size_t length = fread(text, 1, sizeof text - 1, stdin);

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	document = json_tokener_parse_ex(tokener, text, (int)length);
	if (json_tokener_get_error(tokener) != json_tokener_success) {
		fprintf(stderr, "json: %s\n", json_tokener_error_desc(json_tokener_get_error(tokener)));
		exit(1);
	}
	if (text[json_tokener_get_parse_end(tokener) + strspn(text + json_tokener_get_parse_end(tokener), "\n")] !=
		'\0') {
		fprintf(stderr, "json: something follows the document\n");
		exit(1);
	}
	json_tokener_free(tokener);
	return document;
}

static void print_value(struct json_object *document, const char *pointer)
{
	char *copy = strdup(pointer), *end = copy + strlen(copy) - 2;
	struct json_object *value;
	int count = strlen(copy) >= 2 && strcmp(end, "/-") == 0;

	if (count)
		*end = '\0';
	if (json_pointer_get(document, copy, &value) < 0) {
		fprintf(stderr, "json: no %s\n", pointer);
		exit(1);
	}
	if (count)
		printf("%zu\n", json_object_array_length(value));
	else
		printf("%s\n", value ? json_object_get_string(value) : "null");
	free(copy);
}

int main(int argc, char **argv)
{
	struct json_object *document = read_document();

	for (int i = 1; i < argc; i++)
		print_value(document, argv[i]);
	json_object_put(document);
	return 0;
}
