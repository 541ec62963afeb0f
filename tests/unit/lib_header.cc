// SPDX-License-Identifier: MIT
#include "lib_header.c"
