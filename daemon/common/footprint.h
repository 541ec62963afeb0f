/* SPDX-License-Identifier: MIT */
#ifndef COMMON_FOOTPRINT_H
#define COMMON_FOOTPRINT_H

/*
 * Gives back memory needed only at the start of the process: freed heap, and the mapped pages of read-only code
 * and constants of the program and its libraries (each page comes back from the page cache when used
 * again). A daemon calls the function once, when ready.
 */
void footprint_trim(void);

#endif
