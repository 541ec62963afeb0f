/* SPDX-License-Identifier: MIT */
#include "container.h"

/* vfio-keeper-fake is daemon/keeper/main.c on the fake. */
const struct vfio_kernel *keeper_kernel(void)
{
	return &fake_vfio;
}
