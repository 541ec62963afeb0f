/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_TYPE1_H
#define KEEPER_TYPE1_H

#include "kernel.h"

/* The VFIO container API of Linux. */
extern const struct vfio_kernel vfio_type1;

#endif
