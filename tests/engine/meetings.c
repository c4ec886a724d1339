/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/meetings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static struct met meet_one(struct context *c, uint32_t index, const void *data)
{
	const char *identity = c->snapshot.identities[index];
	const char *path = c->snapshot.entries[index].path;
	struct met new = {.path = still_hash64(path, strlen(path))};

	new.digest = still_hash64_seeded(
	    data, (size_t) c->snapshot.entries[index].size_bytes, new.path);
	if (!identity)
		return new;
	assert_true(strlen(identity) <= STILL_IDENTITY_MAX_BYTES);
	for (const char *p = identity; *p; p++)
		assert_true(isprint((unsigned char) *p));
	strcpy(new.identity, identity);
	new.hash = still_hash64(identity, strlen(identity));
	return new;
}

/* Whoever has the same identity has the same bytes. */
static bool was_met(const struct meetings *meetings, const struct met *new)
{
	bool same = false;

	for (size_t k = 0; new->identity[0] && k < meetings->n; k++) {
		const struct met *old = &meetings->met[k];

		if (old->hash != new->hash ||
		    strcmp(old->identity, new->identity) != 0)
			continue;
		assert_true(old->digest == new->digest);
		same = true;
	}
	return same;
}

static bool has_changed(const struct meetings *meetings, const struct met *new)
{
	for (size_t k = meetings->before; k < meetings->n; k++)
		if (meetings->met[k].path == new->path)
			return meetings->met[k].digest != new->digest;
	return true;
}

struct meeting meet(struct context *c, struct meetings *meetings)
{
	struct meeting meeting = {0};
	struct met *now;
	uint8_t **all;

	context_freeze(c);
	all = context_read_all(c);
	now = calloc(c->snapshot.n, sizeof(*now));
	assert_non_null(now);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		struct met *new = &now[meeting.n_files];
		bool same;
		bool changed;

		if (!all[i])
			continue;
		*new = meet_one(c, i, all[i]);
		same = was_met(meetings, new);
		changed = has_changed(meetings, new);
		meeting.n_files++;
		meeting.n_same += same;
		meeting.n_changed += changed;
		meeting.n_changed_same += same && changed;
	}
	meetings->met = realloc(
	    meetings->met, (meetings->n + meeting.n_files) * sizeof(*now));
	assert_non_null(meetings->met);
	memcpy(
	    meetings->met + meetings->n, now, meeting.n_files * sizeof(*now));
	meetings->before = meetings->n;
	meetings->n += meeting.n_files;
	free(now);
	context_free_all(c, all);
	context_thaw(c);
	return meeting;
}
