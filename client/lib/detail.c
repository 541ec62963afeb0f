/* SPDX-License-Identifier: MIT */
#include "detail.h"

#include "vfio-broker.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SAME(name) static_assert((int)VBROKER_##name == (int)REFUSAL_##name, "public and wire numbers differ")
SAME(NO_IOMMU);
SAME(NO_DOMAINS);
SAME(DOMAIN_INCOMPATIBLE);
SAME(DEVICE_BAD_STATE);
SAME(NOT_A_DOMAIN);
SAME(NOT_A_DEVICE);
SAME(GROUP_NOT_VIABLE);
SAME(DEVICE_BUSY);
SAME(NO_SUCH_DEVICE);
SAME(DENIED);
SAME(QUOTA);
SAME(MEMLOCK);
SAME(IOVA_IN_USE);
SAME(IOVA_INVALID);
SAME(NOT_BOUND);
SAME(ALREADY_BOUND);
SAME(QUARANTINED);
SAME(REVOKED);
SAME(GONE);
SAME(UNSUPPORTED);
SAME(MALFORMED);
SAME(NO_KEEPER);
SAME(FAILED);
SAME(WINDOW_UNAVAILABLE);
SAME(NOT_MEMORY);
SAME(NOT_QUARANTINED);
static_assert(REFUSAL_MAX == 27, "a new refusal needs its public twin");

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

const char *vbroker_explain(int result, char *buffer, size_t size)
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
