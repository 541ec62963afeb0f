/* SPDX-License-Identifier: MIT */
#include "host/host_choice.h"

const struct host *host_choice(void)
{
	return &host_linux;
}
