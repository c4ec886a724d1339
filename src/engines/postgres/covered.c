/* SPDX-License-Identifier: MIT */
/*
 * Two tables with open addressing and linear probing, of 2^n places, at most
 * 3/4 of them taken. One gives each fork a number. The other maps (number of
 * the fork, block / 64) to a bit for each of 64 blocks; a place without a bit
 * is free.
 */
#include "config.h"

#include "engines/postgres/covered.h"

#include <stdlib.h>
#include <string.h>

#define PLACES_MIN 64
#define GROUP_BITS 6 /* 64 blocks */
#define GROUP_MASK 63
/* A block has 32 bits, so a group has 26, and forks have the rest. */
#define GROUP_NUMBER_BITS 26
#define FORKS_MAX (UINT64_C(1) << (64 - GROUP_NUMBER_BITS))

struct group {
	uint64_t key;
	uint64_t blocks; /* a bit for each; 0: the place is free */
};

struct fork_place {
	struct still_pg_locator where;
	uint64_t number; /* from 1; 0: the place is free */
};

/* Made anew by copying files. There are few. */
struct database {
	uint32_t tablespace;
	uint32_t database;
};

struct still_pg_covered {
	struct group *groups;
	size_t group_places;
	size_t n_groups;
	uint64_t n_blocks;

	struct fork_place *forks;
	size_t fork_places;
	size_t n_forks;

	struct database *databases;
	size_t n_databases;

	/* What was added last: records often tell of the same relation. */
	struct still_pg_locator last;
	uint64_t last_number; /* 0: none yet */
};

/* The end of MurmurHash3: each bit of `x` matters for each bit of the sum. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

static uint64_t hash_fork(const struct still_pg_locator *where)
{
	return mix(((uint64_t) where->tablespace << 32 | where->database) +
	    mix((uint64_t) where->fork << 32 | where->relation));
}

static bool same_fork(
    const struct still_pg_locator *a, const struct still_pg_locator *b)
{
	return a->relation == b->relation && a->fork == b->fork &&
	    a->database == b->database && a->tablespace == b->tablespace;
}

struct still_pg_covered *still_pg_covered_new(void)
{
	struct still_pg_covered *covered = calloc(1, sizeof(*covered));

	if (!covered)
		return NULL;
	covered->group_places = PLACES_MIN;
	covered->fork_places = PLACES_MIN;
	covered->groups = calloc(PLACES_MIN, sizeof(*covered->groups));
	covered->forks = calloc(PLACES_MIN, sizeof(*covered->forks));
	if (!covered->groups || !covered->forks) {
		still_pg_covered_free(covered);
		return NULL;
	}
	return covered;
}

void still_pg_covered_free(struct still_pg_covered *covered)
{
	if (!covered)
		return;
	free(covered->groups);
	free(covered->forks);
	free(covered->databases);
	free(covered);
}

/* The place of this key, or the free one where it belongs. */
static struct group *find_group(
    struct group *groups, size_t places, uint64_t key)
{
	size_t i = mix(key) & (places - 1);

	while (groups[i].blocks && groups[i].key != key)
		i = (i + 1) & (places - 1);
	return &groups[i];
}

static struct fork_place *find_fork(struct fork_place *forks, size_t places,
    const struct still_pg_locator *where)
{
	size_t i = hash_fork(where) & (places - 1);

	while (forks[i].number && !same_fork(&forks[i].where, where))
		i = (i + 1) & (places - 1);
	return &forks[i];
}

/* Is there room for one more? */
static bool has_room(size_t n, size_t places)
{
	return n + 1 <= places / 4 * 3;
}

static int grow_groups(struct still_pg_covered *covered)
{
	size_t places = covered->group_places * 2;
	struct group *groups = calloc(places, sizeof(*groups));

	if (!groups)
		return STILL_ERR_NOMEM;
	for (size_t i = 0; i < covered->group_places; i++) {
		const struct group *group = &covered->groups[i];

		if (group->blocks)
			*find_group(groups, places, group->key) = *group;
	}
	free(covered->groups);
	covered->groups = groups;
	covered->group_places = places;
	return 0;
}

static int grow_forks(struct still_pg_covered *covered)
{
	size_t places = covered->fork_places * 2;
	struct fork_place *forks = calloc(places, sizeof(*forks));

	if (!forks)
		return STILL_ERR_NOMEM;
	for (size_t i = 0; i < covered->fork_places; i++) {
		const struct fork_place *place = &covered->forks[i];

		if (place->number)
			*find_fork(forks, places, &place->where) = *place;
	}
	free(covered->forks);
	covered->forks = forks;
	covered->fork_places = places;
	return 0;
}

/* The number of a fork, a new one if need be. */
static int number_fork(struct still_pg_covered *covered,
    const struct still_pg_locator *where, uint64_t *ret)
{
	struct fork_place *place;

	if (covered->last_number && same_fork(&covered->last, where)) {
		*ret = covered->last_number;
		return 0;
	}
	if (!has_room(covered->n_forks, covered->fork_places) &&
	    (covered->n_forks + 2 >= FORKS_MAX || grow_forks(covered) < 0))
		return STILL_ERR_NOMEM;
	place = find_fork(covered->forks, covered->fork_places, where);
	if (place->number == 0) {
		place->where = *where;
		place->number = ++covered->n_forks;
	}
	covered->last = *where;
	covered->last_number = place->number;
	*ret = place->number;
	return 0;
}

static uint64_t group_key(uint64_t number, uint32_t block)
{
	return number << GROUP_NUMBER_BITS | block >> GROUP_BITS;
}

int still_pg_covered_add(struct still_pg_covered *covered,
    const struct still_pg_locator *where, uint32_t block,
    struct still_error *err)
{
	uint64_t bit = UINT64_C(1) << (block & GROUP_MASK);
	struct group *group;
	uint64_t number;

	if (number_fork(covered, where, &number) < 0 ||
	    (!has_room(covered->n_groups, covered->group_places) &&
		grow_groups(covered) < 0))
		return still_error_nomem(err);
	group = find_group(
	    covered->groups, covered->group_places, group_key(number, block));
	if (group->blocks == 0) {
		group->key = group_key(number, block);
		covered->n_groups++;
	}
	covered->n_blocks += (group->blocks & bit) == 0;
	group->blocks |= bit;
	return 0;
}

static bool has_database(
    const struct still_pg_covered *covered, uint32_t tablespace, uint32_t id)
{
	for (size_t i = 0; i < covered->n_databases; i++)
		if (covered->databases[i].database == id &&
		    covered->databases[i].tablespace == tablespace)
			return true;
	return false;
}

/* The record begins with database and tablespace. */
static int add_database(struct still_pg_covered *covered,
    const struct still_pg_wal_record *record, struct still_error *err)
{
	struct database *grown;
	uint32_t ids[2];

	if (!record->data || record->data_bytes < sizeof(ids))
		return 0;
	memcpy(ids, record->data, sizeof(ids));
	if (has_database(covered, ids[1], ids[0]))
		return 0;
	grown = realloc(
	    covered->databases, (covered->n_databases + 1) * sizeof(*grown));
	if (!grown)
		return still_error_nomem(err);
	covered->databases = grown;
	grown[covered->n_databases++] = (struct database){ids[1], ids[0]};
	return 0;
}

int still_pg_covered_record(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	struct still_pg_covered *covered = arg;
	int rc = 0;

	if (still_pg_wal_record_is(
		record, STILL_PG_RM_DATABASE, STILL_PG_DATABASE_COPY))
		rc = add_database(covered, record, err);
	for (uint32_t i = 0; rc == 0 && i < record->n_blocks; i++) {
		const struct still_pg_wal_block *block = &record->blocks[i];

		if (block->replaced)
			rc = still_pg_covered_add(
			    covered, &block->where, block->block, err);
	}
	return rc;
}

bool still_pg_covered_has(const struct still_pg_covered *covered,
    const struct still_pg_locator *where, uint32_t block)
{
	const struct fork_place *place;
	const struct group *group;

	if (has_database(covered, where->tablespace, where->database))
		return true;
	place = find_fork(covered->forks, covered->fork_places, where);
	if (place->number == 0)
		return false;
	group = find_group(covered->groups, covered->group_places,
	    group_key(place->number, block));
	return (group->blocks >> (block & GROUP_MASK) & 1) != 0;
}

uint64_t still_pg_covered_count(const struct still_pg_covered *covered)
{
	return covered->n_blocks;
}

size_t still_pg_covered_bytes(const struct still_pg_covered *covered)
{
	return sizeof(*covered) +
	    covered->group_places * sizeof(*covered->groups) +
	    covered->fork_places * sizeof(*covered->forks) +
	    covered->n_databases * sizeof(*covered->databases);
}
