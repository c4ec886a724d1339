/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/power.h"

#include <assert.h>
#include <stdbool.h>

#include "tests/unit/scratch.h"

#define SECTOR_BYTES 512
#define NAMES_MAX 8

/* How much of what was not synced is there. */
enum luck {
	LUCK_NONE,
	LUCK_ALL,
	LUCK_HALF,
	LUCK_GARBAGE, /* the same, and holes are no zeros */
	LUCK_COUNT
};

struct chance {
	uint64_t *random;
	enum luck luck;
};

static bool happens(struct chance *chance)
{
	if (chance->luck < LUCK_HALF)
		return chance->luck == LUCK_ALL;
	return scratch_below(chance->random, 2);
}

/* ---- traces -------------------------------------------------------------- */

void power_release(struct power_trace *trace)
{
	for (size_t i = 0; i < trace->n; i++)
		free(trace->ops[i].data);
	free(trace->ops);
	memset(trace, 0, sizeof(*trace));
}

void power_add(struct power_trace *trace, const struct power_op *op)
{
	size_t n = trace->n;
	struct power_op *copy;

	if ((n & (n - 1)) == 0)
		trace->ops = realloc(
		    trace->ops, (n ? 2 * n : 1) * sizeof(*trace->ops));
	if (!trace->ops)
		abort();
	copy = &trace->ops[trace->n++];
	*copy = *op;
	if (op->data) {
		copy->data = malloc(op->len ? op->len : 1);
		if (!copy->data)
			abort();
		memcpy(copy->data, op->data, op->len);
	}
	if (op->kind == POWER_CREATE && op->ino >= trace->n_inos)
		trace->n_inos = op->ino + 1;
}

static void add_file(
    struct power_trace *trace, const char *dir, const char *name)
{
	struct power_op op = {.kind = POWER_CREATE, .ino = trace->n_inos};
	const char *path = scratch_path(dir, name);
	uint8_t data[SECTOR_BYTES];
	ssize_t n;
	int fd;

	assert(strlen(name) < sizeof(op.name));
	strcpy(op.name, name);
	power_add(trace, &op);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	op.kind = POWER_WRITE;
	op.data = data;
	while ((n = read(fd, data, sizeof(data))) > 0) {
		op.len = (size_t) n;
		power_add(trace, &op);
		op.off_bytes += op.len;
	}
	close(fd);
	op.kind = POWER_SYNC;
	op.data = NULL;
	power_add(trace, &op);
}

void power_add_dir(struct power_trace *trace, const char *dir)
{
	struct power_op sync = {.kind = POWER_SYNC_DIR};
	struct dirent *entry;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d)))
		if (entry->d_type == DT_REG)
			add_file(trace, dir, entry->d_name);
	if (d)
		closedir(d);
	power_add(trace, &sync);
	trace->n_before = trace->n;
}

static int last_step(
    const struct power_trace *trace, size_t n, enum power_kind kind)
{
	while (n-- > 0)
		if (trace->ops[n].kind == kind)
			return trace->ops[n].step;
	return -1;
}

int power_answered(const struct power_trace *trace, size_t n)
{
	return last_step(trace, n, POWER_ANSWER);
}

int power_begun(const struct power_trace *trace, size_t n)
{
	return last_step(trace, n, POWER_BEGIN);
}

/* ---- files --------------------------------------------------------------- */

struct content {
	uint8_t *data; /* owned */
	size_t len;
	size_t synced; /* operations before this one are in it */
};

static void resize(struct content *c, size_t len, struct chance *chance)
{
	if (len > c->len) {
		c->data = realloc(c->data, len);
		if (!c->data)
			abort();
		for (size_t i = c->len; i < len; i++)
			c->data[i] = chance && chance->luck == LUCK_GARBAGE
			    ? (uint8_t) scratch_random(chance->random)
			    : 0;
	}
	c->len = len;
}

/* With a chance, sector by sector. */
static void apply_write(
    struct content *c, const struct power_op *op, struct chance *chance)
{
	size_t off = op->off_bytes;
	size_t end = off + op->len;

	while (off < end) {
		size_t next = (off / SECTOR_BYTES + 1) * SECTOR_BYTES;

		if (next > end)
			next = end;
		if (!chance || happens(chance)) {
			if (next > c->len)
				resize(c, next, chance);
			memcpy(c->data + off, op->data + (off - op->off_bytes),
			    next - off);
		}
		off = next;
	}
}

static void apply(struct content *c, const struct power_trace *trace,
    uint32_t ino, size_t end, struct chance *chance)
{
	for (size_t i = c->synced; i < end; i++) {
		const struct power_op *op = &trace->ops[i];

		if (op->ino != ino)
			continue;
		if (op->kind == POWER_WRITE)
			apply_write(c, op, chance);
		else if (op->kind == POWER_TRUNCATE &&
		    (!chance || happens(chance)))
			resize(c, op->off_bytes, chance);
	}
	c->synced = end;
}

/* The file `ino` after the failure. */
static struct content content_of(const struct power_trace *trace, uint32_t ino,
    size_t n, struct chance *chance)
{
	struct content c = {0};

	for (size_t i = 0; i < n; i++)
		if (trace->ops[i].kind == POWER_SYNC &&
		    trace->ops[i].ino == ino)
			apply(&c, trace, ino, i, NULL);
	apply(&c, trace, ino, n, chance);
	return c;
}

/* ---- names --------------------------------------------------------------- */

struct names {
	struct {
		char name[POWER_NAME_BYTES];
		uint32_t ino;
		bool there;
	} all[NAMES_MAX];
	size_t n;
};

static void apply_name(struct names *names, const struct power_op *op)
{
	size_t i = 0;

	while (i < names->n && strcmp(names->all[i].name, op->name) != 0)
		i++;
	assert(i < NAMES_MAX);
	if (i == names->n)
		strcpy(names->all[names->n++].name, op->name);
	names->all[i].there = op->kind == POWER_CREATE;
	names->all[i].ino = op->ino;
}

static struct names names_of(
    const struct power_trace *trace, size_t n, struct chance *chance)
{
	struct names names = {0};
	size_t synced = 0;

	for (size_t i = 0; i < n; i++)
		if (trace->ops[i].kind == POWER_SYNC_DIR)
			synced = i;
	for (size_t i = 0; i < n; i++)
		if ((trace->ops[i].kind == POWER_CREATE ||
			trace->ops[i].kind == POWER_DELETE) &&
		    (i < synced || happens(chance)))
			apply_name(&names, &trace->ops[i]);
	return names;
}

void power_fail(const struct power_trace *trace, size_t n, uint64_t *random,
    const char *dir)
{
	struct chance chance = {random, scratch_below(random, LUCK_COUNT)};
	struct names names = names_of(trace, n, &chance);

	for (size_t i = 0; i < names.n; i++) {
		struct content c;

		if (!names.all[i].there)
			continue;
		c = content_of(trace, names.all[i].ino, n, &chance);
		if (scratch_write(scratch_path(dir, names.all[i].name), c.data,
			c.len) != 0)
			abort();
		free(c.data);
	}
}
