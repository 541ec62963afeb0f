/* SPDX-License-Identifier: MIT */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "cli.h"

/* vfio-brokerctl policy explain DEVICE [--user USER] [--unit UNIT] [--json]. Returns CLI_OK if the answer is yes. */
int explain_run(const struct cli *cli);

#endif
