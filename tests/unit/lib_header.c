/* SPDX-License-Identifier: MIT */
/*
 * The public header compiles alone, as strict C11 and (this file again) as C++17, and the shared library exports what
 * it declares: this program would not link otherwise.
 */
#include <vfio-broker.h>

#include <stdio.h>

#define FUNCTION(name) (void (*)(void))(name)

typedef void (*function)(void);

__attribute__((used)) static const function functions[] = {
	FUNCTION(vbroker_bind_fds),
	FUNCTION(vbroker_change_name),
	FUNCTION(vbroker_detail),
	FUNCTION(vbroker_device_adopt),
	FUNCTION(vbroker_device_bind),
	FUNCTION(vbroker_device_close),
	FUNCTION(vbroker_device_describe),
	FUNCTION(vbroker_device_domain),
	FUNCTION(vbroker_device_fd),
	FUNCTION(vbroker_device_open),
	FUNCTION(vbroker_device_ping),
	FUNCTION(vbroker_device_reset),
	FUNCTION(vbroker_device_unbind),
	FUNCTION(vbroker_domain_adopt),
	FUNCTION(vbroker_domain_close),
	FUNCTION(vbroker_domain_fd),
	FUNCTION(vbroker_domain_map),
	FUNCTION(vbroker_domain_obstacle),
	FUNCTION(vbroker_domain_open),
	FUNCTION(vbroker_domain_ranges),
	FUNCTION(vbroker_domain_serve),
	FUNCTION(vbroker_domain_server_close),
	FUNCTION(vbroker_domain_server_dispatch),
	FUNCTION(vbroker_domain_server_events),
	FUNCTION(vbroker_domain_server_fd),
	FUNCTION(vbroker_domain_unmap),
	FUNCTION(vbroker_describe_result),
	FUNCTION(vbroker_irq_clear),
	FUNCTION(vbroker_irq_set),
	FUNCTION(vbroker_irq_unmask),
	FUNCTION(vbroker_memory_address),
	FUNCTION(vbroker_memory_alloc),
	FUNCTION(vbroker_memory_fd),
	FUNCTION(vbroker_memory_free),
	FUNCTION(vbroker_memory_iova),
	FUNCTION(vbroker_memory_length),
	FUNCTION(vbroker_open),
	FUNCTION(vbroker_refusal_advice),
	FUNCTION(vbroker_refusal_name),
	FUNCTION(vbroker_refusal_sentence),
	FUNCTION(vbroker_region_program),
	FUNCTION(vbroker_region_read),
	FUNCTION(vbroker_region_read_bytes),
	FUNCTION(vbroker_region_write),
	FUNCTION(vbroker_region_write_bytes),
	FUNCTION(vbroker_session_check),
	FUNCTION(vbroker_session_close),
	FUNCTION(vbroker_session_event),
	FUNCTION(vbroker_session_fd),
	FUNCTION(vbroker_list_leases),
	FUNCTION(vbroker_list_processes),
	FUNCTION(vbroker_list_devices),
	FUNCTION(vbroker_session_open),
	FUNCTION(vbroker_session_ping),
	FUNCTION(vbroker_list_sessions),
	FUNCTION(vbroker_session_status),
	FUNCTION(vbroker_session_watch),
	FUNCTION(vbroker_window_close),
	FUNCTION(vbroker_window_fd),
	FUNCTION(vbroker_window_map),
	FUNCTION(vbroker_window_open),
};

/* The accessors are no functions of the library; each is used once, in both languages. */
static int accessors(void)
{
	uint64_t memory = 0;

	vbroker_store8(&memory, 1);
	vbroker_store16(&memory, (uint16_t)(vbroker_load8(&memory) + 1));
	vbroker_store32(&memory, vbroker_load16(&memory) + 1U);
	vbroker_store64(&memory, vbroker_load32(&memory) + UINT64_C(0x100000000));
	return vbroker_load64(&memory) == UINT64_C(0x100000003);
}

int main(void)
{
	int count = (int)(sizeof functions / sizeof functions[0]);

	printf("1..1\n%s 1 - %d functions of the header are in the library\n",
		vbroker_detail()[0] == '\0' && VBROKER_NOT_MEMORY == 25 && accessors() ? "ok" : "not ok", count);
	return 0;
}
