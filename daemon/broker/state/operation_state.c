/* SPDX-License-Identifier: MIT */
#include "state/operation_state.h"

#include "base/limits.h"
#include "base/loop.h"
#include "helper_message.h"

uint64_t operation_extra_us(const struct operation *operation)
{
	return operation->order == HELPER_LOOK && (operation->flags & HELPER_LOOK_USE) ? INSPECTOR_START_US : 0;
}

bool operation_is_named(const struct operation *operation)
{
	uint64_t waited = loop_now(operation->broker->event) - operation->since_us;

	return operation->order && waited >= HELPER_NAMED_US + operation_extra_us(operation);
}
