/* SPDX-License-Identifier: MIT */
#include "inspector.h"

#include "console.h"
#include "device_name.h"
#include "disk.h"
#include "facts.h"
#include "interface.h"
#include "opener.h"
#include "parts.h"

#include <errno.h>
#include <string.h>

int inspector_look(const struct view *view, const char *name, char ret_use[USE_TEXT_SIZE])
{
	struct facts facts = {.text = ""};
	struct parts parts;
	int r = parts_find(view, name, &parts);

	if (r == 0)
		r = disk_inspect(view, &parts, &facts);
	if (r == 0)
		r = interface_inspect(view, &parts, &facts);
	if (r < 0)
		return r;
	console_inspect(view, name, &parts, &facts);
	opener_inspect(view, &parts, &facts);
	memcpy(ret_use, facts.text, sizeof facts.text);
	return 0;
}

int inspector_answer(const struct view *view, const struct packet *request, struct packet *reply)
{
	const struct inspector_request *question = packet_body(request, sizeof *question);
	struct inspector_reply *answer;
	int r;

	if (request->header.type != INSPECTOR_LOOK || !question || !device_name_valid(question->name))
		return -EPROTO;
	packet_reply(reply, &request->header);
	answer = packet_append(reply, sizeof *answer);
	r = inspector_look(view, question->name, answer->use);
	answer->error = r < 0 ? (uint32_t)-r : 0;
	return 0;
}
