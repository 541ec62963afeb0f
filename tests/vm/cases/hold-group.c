/* SPDX-License-Identifier: MIT */
/*
 * hold-group DEVICE: has a device and its group straight from VFIO, as a program that knows no broker would; the device
 * has vfio-pci. Prints "held", and holds both until it is killed. Root only.
 */
#include "raw-vfio.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct raw_vfio vfio;

	if (argc != 2)
		return 2;
	raw_vfio_open(&vfio, argv[1]);
	printf("held\n");
	fflush(stdout);
	for (;;)
		pause();
}
