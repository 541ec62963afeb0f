/* SPDX-License-Identifier: MIT */
#include "footprint.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEGMENTS_MAX 16

static void drop(const struct dl_phdr_info *info, const ElfW(Phdr) * segment, uintptr_t page)
{
	uintptr_t start = info->dlpi_addr + segment->p_vaddr;
	uintptr_t end = start + segment->p_memsz;

	start &= ~(page - 1);
	end = (end + page - 1) & ~(page - 1);
	madvise((void *)start, end - start, MADV_DONTNEED);
}

static int drop_read_only(struct dl_phdr_info *info, size_t size, void *page_size)
{
	/* The list of segments is itself in a dropped page. The copy is read instead, because a read of the list
	 * would bring the page back. */
	ElfW(Phdr) segments[SEGMENTS_MAX];
	size_t count = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum && count < SEGMENTS_MAX; i++) {
		/* Safe because nothing ever wrote there: segments without PF_W are not relocated (there is no
		 * DT_TEXTREL in position-independent code), so the file still has every byte of the segment. */
		if (info->dlpi_phdr[i].p_type == PT_LOAD && !(info->dlpi_phdr[i].p_flags & PF_W))
			segments[count++] = info->dlpi_phdr[i];
	}
	for (size_t i = 0; i < count; i++)
		drop(info, &segments[i], *(const uintptr_t *)page_size);
	return 0;
}

void footprint_trim(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	malloc_trim(0);
	dl_iterate_phdr(drop_read_only, &page);
}
