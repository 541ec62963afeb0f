/* SPDX-License-Identifier: MIT */
#include "base/capabilities.h"

#include <cap-ng.h>
#include <errno.h>

static int all_empty(void)
{
	if (capng_get_caps_process() < 0)
		return 0;
	/* CAPNG_SELECT_ALL: effective, permitted, inheritable; the others one by one. */
	return capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE &&
		capng_have_capabilities(CAPNG_SELECT_BOUNDS) == CAPNG_NONE &&
		capng_have_capabilities(CAPNG_SELECT_AMBIENT) == CAPNG_NONE;
}

int capabilities_drop(void)
{
	/* Under systemd the sets are empty from the start (CapabilityBoundingSet=), and dropping would need
	 * CAP_SETPCAP. */
	if (all_empty())
		return 0;
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_ALL) != 0)
		return -EPERM;
	return all_empty() ? 0 : -EPERM;
}
