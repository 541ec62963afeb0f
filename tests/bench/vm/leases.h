/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LEASES_H
#define BENCH_LEASES_H

/*
 * Adds burst_24: as many leases one after the other as a storage target makes, of all devices that vfio-pci drives
 * (the preset "disks" has 24), against as many single ones, each with a keeper in reserve.
 */
void bench_leases(void);

#endif
