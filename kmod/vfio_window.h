/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef VFIO_WINDOW_H
#define VFIO_WINDOW_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The interface of the kernel module vfio_window.
 *
 * A window is a file descriptor for a page-aligned range of a BAR of a PCI device opened through
 * VFIO. A window can be mapped, shared, and nothing else; the maker can take the window back at any
 * time, for good, while the device goes on working.
 *
 * Windows are made and taken back through a control file, an open VFIO_WINDOW_NODE. All windows
 * made through a control file form a set. The set is revoked as a whole, by VFIO_WINDOW_REVOKE or
 * with the control file's last close, so also by the death of the last holder. To take windows
 * back separately, a process opens the node once for each set.
 *
 * Each struct begins with argsz, its size when the caller was built. A larger size is fine if all
 * bytes unknown to the kernel are zero (else E2BIG), a smaller size is EINVAL; unknown flags and
 * reserved fields other than zero are EINVAL.
 */

#define VFIO_WINDOW_NODE    "/dev/vfio/window"
#define VFIO_WINDOW_VERSION 2
#define VFIO_WINDOW_TYPE    0xBB

/*
 * Mappings of one window, in all processes together: a bound for the time that unmapping takes.
 * mmap() of one more gives ENOMEM, and so does what would split a mapping into more (munmap() or
 * mprotect() in the middle). fork() cannot be refused: a process that forks beyond the limit gets
 * SIGKILL.
 */
#define VFIO_WINDOW_MAPPINGS_MAX 1024

/* What VFIO_WINDOW_REVOKE_NOW waits for unmapping, at most. Milliseconds. */
#define VFIO_WINDOW_UNMAP_MS 30

/**
 * struct vfio_window_create - VFIO_WINDOW_CREATE: makes a window, returns its file descriptor
 * @argsz: in: sizeof(struct vfio_window_create)
 * @flags: in: VFIO_WINDOW_FLAG_*
 * @device_fd: in: a VFIO device file descriptor; the window keeps the device open until revoked
 * @reserved: in: 0
 * @offset: in: of the range in the device file: VFIO_DEVICE_GET_REGION_INFO's offset plus an
 *  offset within the BAR; page-aligned
 * @size: in: of the range in bytes, page-aligned, not 0
 *
 * The window is closed on exec. mmap() of a window takes offsets within the range, from 0 on.
 *
 * EINVAL: flags, sizes, alignment, or a range not within a single memory BAR. EBADF: device_fd
 * is not open. EBADFD: device_fd is no VFIO device. EOPNOTSUPP: the running kernel cannot make
 * windows of the device (not PCI; the driver has a mmap() of its own; a BAR with struct pages).
 *
 * mmap() of a window: EINVAL: private, or not within the window. EPERM: to be executed. EACCES:
 * to be written to, of a window that may not. ENOMEM: VFIO_WINDOW_MAPPINGS_MAX. ENODEV: revoked.
 * EOPNOTSUPP: VFIO makes mappings that could not be taken back.
 */
struct vfio_window_create {
	__u32 argsz;
	__u32 flags;
	__s32 device_fd;
	__u32 reserved;
	__aligned_u64 offset;
	__aligned_u64 size;
};

/*
 * Mappings may be written to. Reads are always allowed: most processors cannot allow writes alone.
 */
#define VFIO_WINDOW_FLAG_WRITE (1u << 0)
/*
 * Mappings of a revoked window give private memory of the reader, all ones until the reader
 * writes there itself. A driver sees the same after surprise removal. Without the
 * flag: SIGBUS.
 */
#define VFIO_WINDOW_FLAG_ONES (1u << 1)

/**
 * struct vfio_window_revoke - VFIO_WINDOW_REVOKE: takes back all windows of this control file
 * @argsz: in: sizeof(struct vfio_window_revoke)
 * @flags: in: 0 or VFIO_WINDOW_REVOKE_NOW
 *
 * On return, no mapping of the windows reaches the device any more, even if moved or inherited;
 * and the windows do not keep the device open. New windows can be made afterwards.
 *
 * The device is let go only when no page fault uses the device any more. A client can delay that,
 * and so the return, for as long as the client can delay its own page faults. EINTR: the caller
 * was killed while it waited.
 */
struct vfio_window_revoke {
	__u32 argsz;
	__u32 flags;
};

/*
 * Returns soon, whatever clients do: 0, and no mapping reaches the device any more, also by a fault
 * that is under way; or EINPROGRESS after VFIO_WINDOW_UNMAP_MS, if unmapping has to wait for a
 * client's mmap(), munmap() or fork(), and goes on. In both cases no new mapping and no new page of
 * an old one is given. The windows may still keep the device open. A repeated call waits again.
 */
#define VFIO_WINDOW_REVOKE_NOW (1u << 0)

/**
 * struct vfio_window_info - VFIO_WINDOW_INFO: version, number and size of the windows
 * @argsz: in: sizeof(struct vfio_window_info)
 * @flags: out: 0
 * @version: out: VFIO_WINDOW_VERSION of the module
 * @windows: out: windows of the control file, not revoked, with a descriptor or a mapping left
 *  in some process
 * @size: out: the sum of their sizes in bytes
 */
struct vfio_window_info {
	__u32 argsz;
	__u32 flags;
	__u32 version;
	__u32 windows;
	__aligned_u64 size;
};

#define VFIO_WINDOW_CREATE _IOW(VFIO_WINDOW_TYPE, 0, struct vfio_window_create)
#define VFIO_WINDOW_REVOKE _IOW(VFIO_WINDOW_TYPE, 1, struct vfio_window_revoke)
#define VFIO_WINDOW_INFO   _IOWR(VFIO_WINDOW_TYPE, 2, struct vfio_window_info)

#endif
