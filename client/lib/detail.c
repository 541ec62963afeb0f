/* SPDX-License-Identifier: MIT */
#include "detail.h"

#include "vfio-broker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct detail last;

struct detail *detail_clear(void)
{
	last.text[0] = '\0';
	return &last;
}

const struct detail *detail_get(void)
{
	return &last;
}

int detail_set(int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(last.text, sizeof last.text, format, arguments);
	va_end(arguments);
	return result;
}

const char *vbroker_detail(void)
{
	return last.text;
}

const char *vbroker_refusal_name(int refusal)
{
	return refusal_name(refusal);
}

const char *vbroker_refusal_sentence(int refusal)
{
	return refusal_sentence(refusal);
}

const char *vbroker_refusal_advice(int refusal)
{
	return refusal_advice(refusal);
}

const char *vbroker_describe_result(int result, char *buffer, size_t size)
{
	const char *detail = result == 0 ? "" : last.text;
	const char *before = detail[0] ? " (" : "";
	const char *after = detail[0] ? ")" : "";

	if (result > 0) {
		snprintf(buffer, size, "%s: %s%s%s%s", refusal_name(result), refusal_sentence(result), before, detail,
			after);
	} else {
		const char *text = strerrordesc_np(-result);

		snprintf(buffer, size, "%s%s%s%s", text ? text : "unknown error", before, detail, after);
	}
	return buffer;
}
