/* SPDX-License-Identifier: MIT */
#include "front/roll.h"

#include "fdset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 64

/* The first block of the file. */
struct roll_header {
	char magic[8];
	uint64_t front;
	uint32_t role; /* enum front_role */
	uint32_t owner;
	uint32_t pid; /* for people to read */
};

static const char magic[8] = {'v', 'f', 'i', 'o', 'r', 'o', 'l', '1'};

/* The supplementary groups follow, and then the unit, without a NUL. */
struct roll_record {
	uint64_t session; /* written last; 0: the room can be used again */
	uint32_t next;	  /* if so: the next such room of the class; 0: none. Else: the owner, ^ the uid */
	uint32_t class;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;
	uint32_t groups;
	uint64_t started;
	uint32_t unit; /* its length */
	uint32_t flags;
};
static_assert(sizeof(struct roll_record) == 48, "most records shall fit a block");

enum roll_flags {
	ROLL_WATCHES = 1 << 0,
};

/* Room is used again by records of the same size, so that no room is lost between records: sizes of up to
 * CLASSES_EXACT blocks, then doubled sizes. */
#define CLASSES_EXACT 8
#define UNIT_MAX      256 /* longest name of a unit in systemd */

static uint32_t blocks_of(uint32_t class)
{
	return class < CLASSES_EXACT ? class + 1 : (uint32_t)CLASSES_EXACT << (class - CLASSES_EXACT + 1);
}

static int class_of(size_t size)
{
	for (uint32_t class = 0; class < ROLL_CLASSES; class ++) {
		if (size <= (size_t)blocks_of(class) * BLOCK)
			return (int)class;
	}
	return -E2BIG;
}

static off_t place_of(uint32_t block)
{
	return (off_t)block * BLOCK;
}

static int write_at(const struct roll *roll, off_t place, const void *bytes, size_t size)
{
	ssize_t written = pwrite(roll->fd, bytes, size, place);

	if (written < 0)
		return -errno;
	return (size_t)written == size ? 0 : -ENOSPC;
}

static int read_at(const struct roll *roll, off_t place, void *bytes, size_t size)
{
	ssize_t length = pread(roll->fd, bytes, size, place);

	if (length < 0)
		return -errno;
	return (size_t)length == size ? 0 : -EPROTO;
}

/* ---- the file ---- */

int roll_make(struct roll *roll, uint64_t front)
{
	struct roll_header header = {.front = front, .role = FRONT_SPARE};
	int r;

	*roll = (struct roll){.fd = memfd_create("roll", MFD_CLOEXEC), .end = 1};
	if (roll->fd < 0)
		return -errno;
	memcpy(header.magic, magic, sizeof magic);
	r = write_at(roll, 0, &header, sizeof header);
	if (r < 0)
		roll_close(roll);
	return r;
}

void roll_close(struct roll *roll)
{
	if (roll->fd >= 0)
		close(roll->fd);
	roll->fd = -1;
}

int roll_assign(const struct roll *roll, enum front_role role, uid_t owner, uint32_t pid)
{
	const uint32_t words[3] = {role, owner, pid};

	static_assert(offsetof(struct roll_header, owner) == offsetof(struct roll_header, role) + 4, "one write");
	static_assert(offsetof(struct roll_header, pid) == offsetof(struct roll_header, role) + 8, "one write");
	return write_at(roll, offsetof(struct roll_header, role), words, sizeof words);
}

/* ---- records ---- */

/* Room for a record of CLASS: the block where the room begins. */
static int take_room(struct roll *roll, uint32_t class, uint32_t *ret_block)
{
	uint32_t block = roll->free[class], next;
	int r;

	if (block == 0) {
		*ret_block = roll->end;
		roll->end += blocks_of(class);
		return 0;
	}
	r = read_at(roll, place_of(block) + (off_t)offsetof(struct roll_record, next), &next, sizeof next);
	if (r < 0)
		return r;
	roll->free[class] = next;
	*ret_block = block;
	return 0;
}

static void give_room(struct roll *roll, uint32_t class, uint32_t block)
{
	const struct roll_record dead = {.next = roll->free[class], .class = class};

	/* Without the write the next broker would find a session that the front does not know; that session ends. */
	if (write_at(roll, place_of(block), &dead, offsetof(struct roll_record, uid)) == 0)
		roll->free[class] = block;
}

static size_t size_of(const struct peer *peer)
{
	return sizeof(struct roll_record) + peer->groups_count * sizeof *peer->groups +
		(peer->unit ? strnlen(peer->unit, UNIT_MAX) : 0);
}

static void fill(const struct session *session, uint32_t class, uint8_t *bytes)
{
	const struct peer *peer = &session->peer;
	const struct roll_record record = {
		.class = class,
		.next = peer->owner ^ peer->uid,
		.uid = peer->uid,
		.gid = peer->gid,
		.pid = (uint32_t)peer->pid,
		.groups = peer->groups_count,
		.started = session->started,
		.unit = peer->unit ? (uint32_t)strnlen(peer->unit, UNIT_MAX) : 0,
		.flags = session->watch.on ? ROLL_WATCHES : 0,
	};
	size_t groups = record.groups * sizeof *peer->groups;

	memcpy(bytes, &record, sizeof record);
	if (groups > 0)
		memcpy(bytes + sizeof record, peer->groups, groups);
	if (record.unit > 0)
		memcpy(bytes + sizeof record + groups, peer->unit, record.unit);
}

static int write_record(
	const struct roll *roll, const struct session *session, uint32_t class, uint32_t block, size_t size)
{
	uint8_t few[8 * BLOCK];
	uint8_t *bytes = size <= sizeof few ? few : malloc(size);
	int r;

	if (!bytes)
		return -ENOMEM;
	fill(session, class, bytes);
	r = write_at(roll, place_of(block), bytes, size);
	if (r == 0)
		r = write_at(roll, place_of(block), &session->id, sizeof session->id);
	if (bytes != few)
		free(bytes);
	return r;
}

int roll_add(struct roll *roll, struct session *session)
{
	size_t size = size_of(&session->peer);
	int class = class_of(size), r;
	uint32_t block;

	if (class < 0)
		return class;
	r = take_room(roll, (uint32_t) class, &block);
	if (r < 0)
		return r;
	r = write_record(roll, session, (uint32_t) class, block, size);
	if (r < 0) {
		give_room(roll, (uint32_t) class, block);
		return r;
	}
	session->record = block;
	session->record_class = (uint8_t) class;
	return 0;
}

void roll_remove(struct roll *roll, const struct session *session)
{
	if (session->record != 0)
		give_room(roll, session->record_class, session->record);
}

void roll_unit(struct roll *roll, struct session *session)
{
	uint32_t old = session->record, old_class = session->record_class;

	/* If the broker is killed in between, the next broker finds two records, and takes the one with the unit. */
	if (roll_add(roll, session) == 0)
		give_room(roll, old_class, old);
}

void roll_watches(const struct roll *roll, const struct session *session)
{
	const uint32_t flags = ROLL_WATCHES;

	/* If the write fails, the watch does not outlive the broker. */
	(void)write_at(
		roll, place_of(session->record) + (off_t)offsetof(struct roll_record, flags), &flags, sizeof flags);
}

/* ---- reading the roll of an earlier broker ---- */

int roll_open(struct roll *roll, int fd, uint64_t front, struct roll_whose *ret_whose)
{
	struct roll opened = {.fd = fd, .end = 1};
	struct roll_header header;
	int r = read_at(&opened, 0, &header, sizeof header);

	if (r < 0)
		return r;
	if (memcmp(header.magic, magic, sizeof magic) != 0 || header.front != front || header.role > FRONT_DOOR)
		return -EPROTO;
	*roll = opened;
	*ret_whose = (struct roll_whose){.role = header.role, .owner = header.owner, .pid = header.pid};
	return 0;
}

/* Reads what follows RECORD at PLACE. Returns 0 or a negative errno; ENTRY->peer is the caller's in any case. */
static int read_peer(const struct roll *roll, off_t place, const struct roll_record *record, struct peer *peer)
{
	size_t groups = record->groups * sizeof *peer->groups;
	int r = 0;

	*peer = (struct peer){
		.uid = record->uid, .owner = record->next ^ record->uid, .gid = record->gid, .pid = (pid_t)record->pid};
	place += (off_t)sizeof *record;
	if (groups > 0) {
		peer->groups = malloc(groups);
		r = peer->groups ? read_at(roll, place, peer->groups, groups) : -ENOMEM;
		peer->groups_count = r == 0 ? record->groups : 0;
	}
	if (r == 0 && record->unit > 0) {
		peer->unit = calloc(1, record->unit + 1);
		r = peer->unit ? read_at(roll, place + (off_t)groups, peer->unit, record->unit) : -ENOMEM;
	}
	return r;
}

static bool is_sound(const struct roll_record *record)
{
	size_t room;

	if (record->class >= ROLL_CLASSES)
		return false;
	room = (size_t)blocks_of(record->class) * BLOCK - sizeof *record;
	return record->session == 0 ||
		(record->unit <= UNIT_MAX && record->groups * sizeof(gid_t) + (uint64_t)record->unit <= room);
}

int roll_read(struct roll *roll, roll_found found, void *context)
{
	struct roll_record record;
	int r;

	/* The last record may have been cut by a kill: then the file ends there. */
	while (read_at(roll, place_of(roll->end), &record, sizeof record) == 0) {
		struct roll_entry entry = {.session = record.session, .started = record.started};
		uint32_t block = roll->end;

		if (!is_sound(&record))
			return -EPROTO;
		roll->end += blocks_of(record.class);
		if (record.session == 0) {
			give_room(roll, record.class, block);
			continue;
		}
		entry.watches = record.flags & ROLL_WATCHES;
		entry.record = block;
		entry.record_class = (uint8_t)record.class;
		r = read_peer(roll, place_of(block), &record, &entry.peer);
		if (r < 0) {
			peer_clear(&entry.peer);
			return r;
		}
		found(context, &entry);
	}
	return 0;
}

void roll_adopt(struct session *session, const struct roll_entry *entry)
{
	session->record = entry->record;
	session->record_class = entry->record_class;
}
