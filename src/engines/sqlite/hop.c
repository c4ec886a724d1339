/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/hop.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines/sqlite/index.h"

/* In the -shm file, as in every wal-index of the "unix" VFS. */
#define LOCK_BYTE_WRITE 120
#define LOCK_BYTE_CKPT 121

#define TRIES 20

int sqlite_hop_prepare(
    struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	char *rel;
	int rc = 0;

	/* A slot is let go by the connection that locked it, or not at all. In
	 * a cut over several databases the reader does, without a transaction;
	 * so it is the carrier from here on. */
	if (!pin->carrier.file && pin->hold.slot >= 0) {
		pin->carrier = pin->reader;
		memset(&pin->reader, 0, sizeof(pin->reader));
	}
	if (!pin->carrier.file)
		rc = sqlite_handle_open(&pin->carrier, &pin->target, err);
	if (rc < 0) {
		sqlite_handle_close(&pin->carrier);
		return rc;
	}
	if (pin->shm)
		return 0;
	if (asprintf(&rel, "%s-shm", pin->target.rel) < 0)
		return still_error_nomem(err);
	rc = sqlite_file_open(root_fd, rel, &pin->shm, NULL, err);
	free(rel);
	return rc;
}

/* ---- one lock ------------------------------------------------------------ */

/* The pin's own slot is locked already, and once. */
static bool take(
    struct sqlite_pin *pin, int slot, uint32_t mark, struct sqlite_hold *hold)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);
	bool own = slot == pin->hold.slot;

	if (own &&
	    (mark != pin->hold.mark ||
		!sqlite_slots_header_is(&slots, &hold->header)))
		return false;
	if (!own && !sqlite_slots_take(&slots, slot, mark, &hold->header))
		return false;
	hold->slot = slot;
	hold->mark = mark;
	return true;
}

static void let_go(struct sqlite_pin *pin, int slot)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	if (slot != pin->hold.slot)
		sqlite_slots_let_go(&slots, slot);
}

static bool is_still(
    const struct sqlite_pin *pin, const struct sqlite_index_header *header)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	return sqlite_slots_header_is(&slots, header);
}

/* Under the lock nothing can be written back; so what was, was before. */
static bool take_zero(struct sqlite_pin *pin, struct sqlite_hold *hold)
{
	return hold->backfill == hold->header.max_frame &&
	    take(pin, 0, 0, hold);
}

static bool set_mark(struct sqlite_pin *pin, int slot, uint32_t mark)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	return slot != pin->hold.slot &&
	    sqlite_slots_set_mark(&slots, slot, mark);
}

/* ---- which one ----------------------------------------------------------- */

static bool take_newest(
    struct sqlite_pin *pin, int avoid, struct sqlite_hold *hold)
{
	const uint32_t want = hold->header.max_frame;

	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++)
		if (slot != avoid &&
		    sqlite_index_mark(pin->index, slot) == want &&
		    take(pin, slot, want, hold))
			return true;
	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++)
		if (slot != avoid && set_mark(pin, slot, want) &&
		    take(pin, slot, want, hold))
			return true;
	return false;
}

/* One that is a step ahead at least. A pin that is a transaction has a mark too,
 * but nobody knows in which slot. */
static bool take_newer(
    struct sqlite_pin *pin, int avoid, struct sqlite_hold *hold)
{
	const struct sqlite_index_header *from = &pin->hold.header;
	bool same_log =
	    memcmp(from->salts, hold->header.salts, sizeof(from->salts)) == 0;
	uint32_t best_mark = same_log && pin->hold.slot != 0 ? from->max_frame
							     : 0;
	int best = -1;

	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++) {
		uint32_t mark = sqlite_index_mark(pin->index, slot);

		if (slot != avoid && slot != pin->hold.slot &&
		    mark <= hold->header.max_frame && mark > best_mark) {
			best = slot;
			best_mark = mark;
		}
	}
	return best >= 0 && take(pin, best, best_mark, hold);
}

static bool attempt(struct sqlite_pin *pin, int avoid, struct sqlite_hold *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->slot = -1;
	if (!sqlite_index_read(pin->index, &ret->header))
		return false;
	ret->backfill = sqlite_index_backfill(pin->index);
	if (ret->backfill > ret->header.max_frame)
		return false;
	if (avoid != 0 && take_zero(pin, ret))
		return true;
	return take_newest(pin, avoid, ret) || take_newer(pin, avoid, ret);
}

bool sqlite_hop_take(struct sqlite_pin *pin, int avoid, struct sqlite_hold *ret)
{
	bool taken = false;

	for (int i = 0; i < TRIES && !taken; i++) {
		taken = attempt(pin, avoid, ret);
		/* Nothing was in the way but the slots. */
		if (!taken && is_still(pin, &ret->header))
			return false;
	}
	if (!taken && sqlite_pin_hold(pin)) {
		taken = attempt(pin, avoid, ret);
		sqlite_pin_let_go(pin);
	}
	return taken;
}

void sqlite_hop_drop(struct sqlite_pin *pin, const struct sqlite_hold *hold)
{
	let_go(pin, hold->slot);
}

void sqlite_hop_finish(struct sqlite_pin *pin, const struct sqlite_hold *hold)
{
	int left = pin->hold.slot;

	pin->hold = *hold;
	if (left < 0)
		sqlite_handle_close(&pin->reader);
	else
		let_go(pin, left);
}

/* ---- who waits ----------------------------------------------------------- */

static pid_t holder(const struct sqlite_pin *pin, off_t byte)
{
	struct flock lock = {
	    .l_type = F_WRLCK,
	    .l_whence = SEEK_SET,
	    .l_start = byte,
	    .l_len = 1,
	};

	if (fcntl(sqlite_file_fd(pin->shm), F_GETLK, &lock) != 0 ||
	    lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : -1;
}

pid_t sqlite_hop_waiter(const struct sqlite_pin *pin)
{
	pid_t pid = holder(pin, LOCK_BYTE_CKPT);

	return pid != 0 && holder(pin, LOCK_BYTE_WRITE) == pid ? pid : 0;
}
