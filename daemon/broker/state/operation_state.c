/* SPDX-License-Identifier: MIT */
#include "state/operation_state.h"

#include "base/limits.h"
#include "base/loop.h"

bool operation_is_named(const struct operation *operation)
{
	return operation->order && loop_now(operation->broker->event) - operation->since_us >= HELPER_NAMED_US;
}
