/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_LIMITS_H
#define KEEPER_LIMITS_H

/*
 * Devices of one IOMMU group that one keeper holds. A slot has 8 functions; groups grow beyond that behind bridges
 * without isolation, where 32 devices fill a whole conventional PCI bus.
 */
#define DEVICES_MAX 32

/* Regions of one device. vfio-pci has 9 (six BARs, ROM, configuration space, VGA) and adds a few for special devices
 * (three for Intel's graphics). Regions beyond are not served. */
#define REGIONS_MAX 16

/* Interrupt kinds of one device: vfio-pci has 5 (INTx, MSI, MSI-X, error, device request) and could add some. */
#define IRQS_MAX 8

/* A reset that the kernel cannot do now (EAGAIN: the device is locked by whoever uses its files in sysfs) is tried again so often,
 * after so long. Anybody may read such a file in a loop, and must not have the device quarantined with that: many tries at odd
 * moments, and no more than a fifth of a second, because a lease that ends waits for it. */
#define RESET_RETRIES  200
#define RESET_PAUSE_NS 1000000

/* Pauses between two reads of a POLL: from what a pread costs anyway, doubling to what still is short compared with a
 * process switch on a busy machine. */
#define POLL_PAUSE_MIN_NS 1000
#define POLL_PAUSE_MAX_NS 100000

#endif
