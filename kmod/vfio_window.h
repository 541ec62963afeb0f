/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef VFIO_WINDOW_H
#define VFIO_WINDOW_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The interface of the kernel module vfio_window.
 *
 * A window is a file descriptor for one page-aligned range of one BAR of a PCI device that is open
 * through VFIO. It can be mapped, shared, and nothing else; its maker can take it back at any time,
 * for good, while the device goes on working.
 *
 * Windows are made and taken back by way of a control file, an open VFIO_WINDOW_NODE. All windows
 * made through one control file are one set: they are revoked together, by VFIO_WINDOW_REVOKE or
 * with the control file's last close, so also by the death of whoever holds it. Who wants to take
 * windows back separately opens the node once for each set.
 *
 * Each struct begins with argsz, its size as the caller was built. Larger ones are fine if what the
 * kernel does not know is zero (E2BIG), smaller ones are not (EINVAL); unknown flags and reserved
 * fields other than zero are EINVAL.
 */

#define VFIO_WINDOW_NODE    "/dev/vfio/window"
#define VFIO_WINDOW_VERSION 1
#define VFIO_WINDOW_TYPE    0xBB

/**
 * struct vfio_window_create - VFIO_WINDOW_CREATE: makes a window, returns its file descriptor
 * @argsz: in: sizeof(struct vfio_window_create)
 * @flags: in: VFIO_WINDOW_FLAG_*
 * @device_fd: in: a VFIO device file descriptor; the window keeps the device open until it is
 *  revoked
 * @reserved: in: 0
 * @offset: in: of the range in the device file: VFIO_DEVICE_GET_REGION_INFO's offset plus one
 *  within the BAR; page-aligned
 * @size: in: of the range in bytes, page-aligned, not 0
 *
 * The window is closed on exec. mmap() of it takes offsets within the range, from 0 on.
 *
 * EINVAL: flags, sizes, alignment, or a range that is not within one memory BAR. EBADF: device_fd
 * is not open. EBADFD: it is no VFIO device. EOPNOTSUPP: a device or a flag that this kernel cannot
 * do it for (not PCI; a BAR where the kernel has struct pages; VFIO_WINDOW_FLAG_ONES on other than
 * x86).
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
 * Mappings may be written to. They may always be read: most processors cannot tell the two apart.
 */
#define VFIO_WINDOW_FLAG_WRITE (1u << 0)
/*
 * What a mapping gives once the window is revoked: memory of the reader's own that is all ones
 * until it writes there itself. That is what a driver sees after surprise removal. Without this
 * flag: SIGBUS.
 */
#define VFIO_WINDOW_FLAG_ONES (1u << 1)

/**
 * struct vfio_window_revoke - VFIO_WINDOW_REVOKE: takes back all windows of this control file
 * @argsz: in: sizeof(struct vfio_window_revoke)
 * @flags: in: 0
 *
 * When it returns, no mapping of them reaches the device any more, wherever it has been moved or
 * inherited to; and they do not keep the device open. New windows can be made afterwards.
 */
struct vfio_window_revoke {
	__u32 argsz;
	__u32 flags;
};

/**
 * struct vfio_window_info - VFIO_WINDOW_INFO: what there is
 * @argsz: in: sizeof(struct vfio_window_info)
 * @flags: out: 0
 * @version: out: VFIO_WINDOW_VERSION of the module
 * @windows: out: windows of this control file that are not revoked and of which somebody has a
 *  descriptor or a mapping
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
