/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/facts.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/sys.h"

/* 2 s are the ticks of FAT, the coarsest; on top the longest of the kernel's
 * own, by which the time of a write may be behind. */
#define RACY_NS (2 * STILL_NS_PER_S + 10 * 1000 * 1000)

#define SALTS_BYTES sizeof(((struct sqlite_facts *) 0)->salts)

static int64_t ns_of(const struct timespec *time)
{
	return (int64_t) time->tv_sec * STILL_NS_PER_S + time->tv_nsec;
}

static struct timespec time_of(int64_t ns)
{
	return (struct timespec){
	    .tv_sec = (time_t) (ns / STILL_NS_PER_S),
	    .tv_nsec = (long) (ns % STILL_NS_PER_S),
	};
}

bool sqlite_facts_are_settled(const struct sqlite_facts *facts)
{
	int64_t trusted_ns = facts->frozen_at_ns - RACY_NS;

	return ns_of(&facts->st.st_mtim) <= trusted_ns &&
	    ns_of(&facts->st.st_ctim) <= trusted_ns;
}

bool sqlite_facts_same_file(
    const struct sqlite_facts *a, const struct sqlite_facts *b)
{
	return a->boot && a->boot == b->boot && a->st.st_dev == b->st.st_dev &&
	    a->st.st_ino == b->st.st_ino && a->st.st_size == b->st.st_size &&
	    ns_of(&a->st.st_mtim) == ns_of(&b->st.st_mtim) &&
	    ns_of(&a->st.st_ctim) == ns_of(&b->st.st_ctim);
}

/* ---- the note ------------------------------------------------------------ */

static int set(json_t *object, const char *key, uint64_t value)
{
	return json_object_set_new(
	    object, key, json_integer((json_int_t) value));
}

static int note_log(json_t *object, const struct sqlite_facts *facts)
{
	char salts[2 * SALTS_BYTES + 1];

	for (size_t i = 0; i < SALTS_BYTES; i++)
		snprintf(salts + 2 * i, 3, "%02x", facts->salts[i]);
	return set(object, "last_frame", facts->max_frame) |
	    set(object, "backfilled_frames", facts->backfill) |
	    json_object_set_new(object, "frame_checksum",
		json_pack("[I, I]", (json_int_t) facts->frame_checksum.s0,
		    (json_int_t) facts->frame_checksum.s1)) |
	    json_object_set_new(object, "salts", json_string(salts));
}

static int note_file(json_t *object, const struct sqlite_facts *facts)
{
	const struct stat *st = &facts->st;

	return set(object, "boot", facts->boot) |
	    set(object, "dev", st->st_dev) | set(object, "ino", st->st_ino) |
	    set(object, "size", (uint64_t) st->st_size) |
	    set(object, "mtime_ns", (uint64_t) ns_of(&st->st_mtim)) |
	    set(object, "ctime_ns", (uint64_t) ns_of(&st->st_ctim)) |
	    json_object_set_new(
		object, "settled", json_boolean(facts->settled));
}

static int note(json_t *object, const struct sqlite_facts *facts)
{
	return set(object, "page_bytes", facts->page_size_bytes) |
	    set(object, "pages", facts->n_pages) |
	    set(object, "change_counter", facts->change_counter) |
	    json_object_set_new(
		object, "page_checksums", json_boolean(facts->page_checksums)) |
	    json_object_set_new(
		object, "rollback", json_boolean(facts->rollback)) |
	    note_log(object, facts) | note_file(object, facts);
}

json_t *sqlite_facts_note(const char *rel, const struct sqlite_facts *facts)
{
	json_t *object = json_object();

	if (object && still_json_set_name(object, "path", rel) == 0 &&
	    (!facts || note(object, facts) == 0))
		return object;
	json_decref(object);
	return NULL;
}

/* ---- reading it ---------------------------------------------------------- */

static bool get(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *value = json_object_get(object, key);

	*ret = (uint64_t) json_integer_value(value);
	return json_is_integer(value);
}

static bool get32(const json_t *object, const char *key, uint32_t *ret)
{
	uint64_t value;
	bool is = get(object, key, &value) && value <= UINT32_MAX;

	*ret = (uint32_t) value;
	return is;
}

static bool get_flag(const json_t *object, const char *key, bool *ret)
{
	const json_t *value = json_object_get(object, key);

	*ret = json_is_true(value);
	return json_is_boolean(value);
}

static bool get_time(
    const json_t *object, const char *key, struct timespec *ret)
{
	uint64_t ns;
	bool is = get(object, key, &ns);

	*ret = time_of((int64_t) ns);
	return is;
}

static bool get_checksum(const json_t *object, struct sqlite_checksum *ret)
{
	const json_t *pair = json_object_get(object, "frame_checksum");
	const json_t *s0 = json_array_get(pair, 0);
	const json_t *s1 = json_array_get(pair, 1);

	ret->s0 = (uint32_t) json_integer_value(s0);
	ret->s1 = (uint32_t) json_integer_value(s1);
	return json_is_integer(s0) && json_is_integer(s1);
}

static bool get_salts(const json_t *object, uint8_t *ret)
{
	const char *text = json_string_value(json_object_get(object, "salts"));

	if (!text || strlen(text) != 2 * SALTS_BYTES)
		return false;
	for (size_t i = 0; i < SALTS_BYTES; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		ret[i] = (uint8_t) byte;
	}
	return true;
}

static bool get_file(const json_t *noted, struct sqlite_facts *ret)
{
	uint64_t dev;
	uint64_t ino;
	uint64_t size;

	if (!get(noted, "boot", &ret->boot) || !get(noted, "dev", &dev) ||
	    !get(noted, "ino", &ino) || !get(noted, "size", &size))
		return false;
	ret->st.st_dev = (dev_t) dev;
	ret->st.st_ino = (ino_t) ino;
	ret->st.st_size = (off_t) size;
	return get_time(noted, "mtime_ns", &ret->st.st_mtim) &&
	    get_time(noted, "ctime_ns", &ret->st.st_ctim) &&
	    get_flag(noted, "settled", &ret->settled);
}

bool sqlite_facts_read(const json_t *noted, struct sqlite_facts *ret)
{
	memset(ret, 0, sizeof(*ret));
	return get32(noted, "page_bytes", &ret->page_size_bytes) &&
	    get32(noted, "pages", &ret->n_pages) &&
	    get32(noted, "change_counter", &ret->change_counter) &&
	    get_flag(noted, "page_checksums", &ret->page_checksums) &&
	    get_flag(noted, "rollback", &ret->rollback) &&
	    get32(noted, "last_frame", &ret->max_frame) &&
	    get32(noted, "backfilled_frames", &ret->backfill) &&
	    get_checksum(noted, &ret->frame_checksum) &&
	    get_salts(noted, ret->salts) && get_file(noted, ret);
}
