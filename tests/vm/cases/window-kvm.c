/* SPDX-License-Identifier: MIT */
/*
 * window-kvm MEMORY: a virtual machine has a window for its memory. Its processor's page tables are not the process's,
 * but follow these: once the window is revoked, a guest that is reading it must not go on. MEMORY is a device as
 * window-module wants it.
 */
#include "probe.h"
#include "raw-vfio.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	    4096
#define MEMORY_BAR  2
#define CODE	    0x1000 /* guest addresses */
#define WINDOW	    0x10000
#define VALUE	    0x4bc3
#define OTHER	    0x1234
#define PATIENCE_MS 10000

/* Reads the window's first word until it is not VALUE any more, and tells what it is. */
static const uint8_t code[] = {
	0xb8, WINDOW >> 4 & 0xff, WINDOW >> 12, /* mov ax, WINDOW >> 4 */
	0x8e, 0xd8,				/* mov ds, ax */
	0xa1, 0x00, 0x00,			/* again: mov ax, [0] */
	0x3d, VALUE & 0xff, VALUE >> 8,		/* cmp ax, VALUE */
	0x74, 0xf8,				/* je again */
	0xe7, 0x10,				/* out 0x10, ax */
};

struct machine {
	int vm;
	int cpu;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	atomic_bool ended;
	long result; /* of KVM_RUN */
};

static long control_kvm(int fd, unsigned long request, unsigned long argument, const char *name)
{
	long result = ioctl(fd, request, argument);

	if (result < 0)
		verdict_die(name);
	return result;
}

static void add_memory(const struct machine *machine, uint32_t slot, uint64_t address, void *memory)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = address, .memory_size = PAGE, .userspace_addr = (uintptr_t)memory};

	control_kvm(machine->vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region, "KVM_SET_USER_MEMORY_REGION");
}

static void set_registers(const struct machine *machine)
{
	struct kvm_sregs segments;
	struct kvm_regs registers = {.rip = CODE, .rflags = 2};

	control_kvm(machine->cpu, KVM_GET_SREGS, (uintptr_t)&segments, "KVM_GET_SREGS");
	segments.cs.base = 0;
	segments.cs.selector = 0;
	control_kvm(machine->cpu, KVM_SET_SREGS, (uintptr_t)&segments, "KVM_SET_SREGS");
	control_kvm(machine->cpu, KVM_SET_REGS, (uintptr_t)&registers, "KVM_SET_REGS");
}

static void machine_make(struct machine *ret, int kvm, void *window)
{
	uint8_t *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t size = (size_t)control_kvm(kvm, KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE");

	if (memory == MAP_FAILED)
		verdict_die("memory");
	memcpy(memory, code, sizeof code);
	ret->vm = (int)control_kvm(kvm, KVM_CREATE_VM, 0, "KVM_CREATE_VM");
	add_memory(ret, 0, CODE, memory);
	add_memory(ret, 1, WINDOW, window);
	ret->cpu = (int)control_kvm(ret->vm, KVM_CREATE_VCPU, 0, "KVM_CREATE_VCPU");
	ret->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ret->cpu, 0);
	if (ret->run == MAP_FAILED)
		verdict_die("kvm_run");
	ret->run_size = size;
}

static void machine_end(struct machine *machine)
{
	munmap(machine->run, machine->run_size);
	close(machine->cpu);
	close(machine->vm);
}

static void *run_guest(void *argument)
{
	struct machine *machine = argument;

	machine->result = verdict_result(ioctl(machine->cpu, KVM_RUN, 0));
	atomic_store(&machine->ended, true);
	return NULL;
}

/* From the beginning. */
static void start(struct machine *machine)
{
	set_registers(machine);
	atomic_store(&machine->ended, false);
	if (pthread_create(&machine->thread, NULL, run_guest, machine) != 0)
		verdict_die("pthread_create");
}

static bool ends_within(const struct machine *machine, unsigned milliseconds)
{
	for (unsigned i = 0; i < milliseconds && !atomic_load(&machine->ended); i += 10)
		usleep(10000);
	return atomic_load(&machine->ended);
}

/* The guest has told a value, which is @value. */
static bool told(const struct machine *machine, uint16_t value)
{
	uint16_t got;

	if (machine->result != 0 || machine->run->exit_reason != KVM_EXIT_IO)
		return false;
	memcpy(&got, (const uint8_t *)machine->run + machine->run->io.data_offset, sizeof got);
	return got == value;
}

static void explain(const struct machine *machine)
{
	printf("# KVM_RUN: %ld, exit reason %u\n", machine->result, machine->run->exit_reason);
}

static volatile uint16_t *direct; /* VFIO's own mapping */

static void check(int kvm, const struct raw_vfio *vfio, const struct raw_region *bar, uint32_t flags)
{
	const bool ones = flags & VFIO_WINDOW_FLAG_ONES;
	const char *then = ones ? "ones" : "SIGBUS";
	int control = raw_control();
	long fd = raw_window(control, vfio->device, flags, bar->offset, PAGE);
	struct machine machine;

	if (fd < 0)
		verdict_die("a window");
	machine_make(&machine, kvm, raw_map((int)fd, PROT_READ | PROT_WRITE, PAGE, 0));
	*direct = VALUE;
	start(&machine);
	verdict(!ends_within(&machine, 300), "KVM: a guest reads a window (%s)", then);
	*direct = OTHER;
	if (!verdict(ends_within(&machine, PATIENCE_MS) && told(&machine, OTHER), "KVM: it sees the device change (%s)",
		    then))
		explain(&machine);
	pthread_join(machine.thread, NULL);

	*direct = VALUE;
	start(&machine);
	verdict(!ends_within(&machine, 300), "KVM: it reads again (%s)", then);
	raw_revoke(control);
	if (!verdict(ends_within(&machine, PATIENCE_MS), "KVM: it is stopped by revocation (%s)", then))
		return;
	pthread_join(machine.thread, NULL);
	if (!verdict(ones ? told(&machine, 0xffff) : machine.result == -EFAULT, "KVM: %s",
		    ones ? "it reads ones" : "KVM_RUN ends with EFAULT"))
		explain(&machine);
	start(&machine);
	pthread_join(machine.thread, NULL);
	if (!verdict(ones ? told(&machine, 0xffff) : machine.result == -EFAULT, "KVM: the same when it runs again (%s)",
		    then))
		explain(&machine);
	machine_end(&machine);
	close((int)fd);
	close(control);
}

int main(int argc, char **argv)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct raw_vfio vfio;
	struct raw_region bar;

	if (argc != 2) {
		fprintf(stderr, "window-kvm MEMORY\n");
		return 2;
	}
	if (kvm < 0) {
		verdict_skip("KVM: a guest is stopped by revocation", "no /dev/kvm");
		return 0;
	}
	probe_init();
	raw_vfio_open(&vfio, argv[1]);
	bar = raw_vfio_region(&vfio, MEMORY_BAR);
	direct = raw_map(vfio.device, PROT_READ | PROT_WRITE, PAGE, bar.offset);
	check(kvm, &vfio, &bar, VFIO_WINDOW_FLAG_WRITE);
	check(kvm, &vfio, &bar, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES);
	verdict(*direct == VALUE, "KVM: the device has what it had");
	raw_vfio_close(&vfio);
	return verdict_failures > 0;
}
