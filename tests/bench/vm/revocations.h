/* SPDX-License-Identifier: MIT */
#ifndef BENCH_REVOCATIONS_H
#define BENCH_REVOCATIONS_H

/*
 * The worst of COUNT revocations of DEVICE (NVMe): from the order to the moment at which bus mastering is off and the
 * client has made its last access, whatever the client does with its page faults and priorities.
 */
void bench_revocations(const char *device, unsigned int count);

#endif
