/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_LIMITS_H
#define KEEPER_LIMITS_H

/*
 * Devices of one IOMMU group in one keeper. A slot has 8 functions; larger groups exist behind bridges
 * without isolation, where 32 devices fill a whole conventional PCI bus.
 */
#define DEVICES_MAX 32

/* Regions of one device. vfio-pci has 9 (six BARs, ROM, configuration space, VGA) and adds a few for special devices
 * (three for Intel's graphics). Regions beyond are not served. */
#define REGIONS_MAX 16

/* Interrupt kinds of one device: vfio-pci has 5 (INTx, MSI, MSI-X, error, device request) and could add some. */
#define IRQS_MAX 8

/*
 * Descriptors of a keeper: LimitNOFILE= of its unit, and less where the process has less. Below are those of clients,
 * and the highest OWN_FDS_MAX are for the group and its devices: DEVICES_MAX, one that FILE hands out, and the group.
 * Room for OPEN_FDS_RESERVE stays free of what is kept of clients: the descriptors of one packet (253), those of the
 * keeper (five for each device, and a dozen), and OWN_FDS_MAX. The rest is for eventfds: MSI-X has at most 2048 of
 * them.
 */
#define OPEN_FDS_MAX	 4096
#define OPEN_FDS_RESERVE 512
#define OWN_FDS_MAX	 64

/* How often a reset is tried again after EAGAIN (somebody uses the device's files in sysfs and holds its lock), and
 * after what pause. Anybody may read such a file in a loop, and must not be able to quarantine the device by
 * reading: hence many tries at odd moments. All tries together take a fifth of a second at most, because the end of
 * a lease waits for the reset. */
#define RESET_RETRIES  200
#define RESET_PAUSE_NS 1000000

/* After an uncorrectable error the kernel recovers the device itself: it has the device locked while it resets the link
 * (pcie_do_recovery(), over a second for a fatal error). All tries together take some three seconds, less than the five
 * after which the broker takes the group for stuck. */
#define RESET_RETRIES_ERROR 3000

/* Pauses between two reads of a POLL. The first is as long as a pread; each is twice as long as the last, up to a
 * time still short compared with a process switch on a busy machine. */
#define POLL_PAUSE_MIN_NS 1000
#define POLL_PAUSE_MAX_NS 100000

#endif
