/* SPDX-License-Identifier: MIT */
#ifndef COMMON_FOOTPRINT_H
#define COMMON_FOOTPRINT_H

/*
 * Gives back the memory that only the start of the process needed: freed heap, and the mapped pages of read-only code
 * and constants of the program and its libraries (they come back from the page cache one by one, as they
 * are used). A daemon calls it once, when it is ready.
 */
void footprint_trim(void);

#endif
