/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/sqlite/guard.h"
#include "engines/sqlite/index.h"

#define OPTIMISTIC_TRIES 50
#define BUSY_TIMEOUT_MS 2000
#define BACKOFF_FIRST_NS 50000
#define BACKOFF_LAST_NS (3200 * 1000)

enum verdict {
	FROZEN,
	MOVED
};

/* ---- the wal-index ---------------------------------------------------- */

/* The connection whose slot locks are ours: its transaction, if it has one,
 * holds none that we take. */
static sqlite3_file *lock_file(const struct sqlite_pin *pin)
{
	return pin->carrier.file ? pin->carrier.file : pin->reader.file;
}

struct sqlite_slots sqlite_pin_slots(const struct sqlite_pin *pin)
{
	return (struct sqlite_slots){
	    .file = lock_file(pin),
	    .index = pin->index,
	};
}

static bool header_is_still(const struct sqlite_pin *pin)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	return sqlite_slots_header_is(&slots, &pin->header);
}

static void let_slot_go(struct sqlite_pin *pin)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	if (pin->hold.slot >= 0 && slots.file)
		sqlite_slots_let_go(&slots, pin->hold.slot);
	pin->hold.slot = -1;
}

/* ---- opening ----------------------------------------------------------- */

/* A -shm that we may only read is mapped all the same, and says so. */
static bool maps(int rc, void volatile *block)
{
	return (rc == SQLITE_OK || rc == SQLITE_READONLY) && block;
}

static int map_index(
    struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	sqlite3_file *file = pin->reader.file;
	void volatile *block = NULL;
	int rc;

	rc = file->pMethods->xShmMap(
	    file, 0, SQLITE_INDEX_BLOCK_BYTES, 0, &block);
	if (!maps(rc, block))
		return still_error_set(err, STILL_ERR_ACCESS, EACCES,
		    "The user who runs stillfs must be able to write the -shm "
		    "file, or an application must have the database open.",
		    "database `%s`: its wal-index cannot be shared",
		    pin->target.rel);
	pin->index = block;
	pin->index_read_only = rc == SQLITE_READONLY;
	rc = sqlite_sidecar_stat(
	    root_fd, pin->target.rel, "-shm", &pin->shm_st);
	if (rc < 0)
		return still_error_sys(
		    err, -rc, NULL, "`%s-shm`", pin->target.rel);
	return 0;
}

/* ---- freezing ---------------------------------------------------------- */

/* Lock `slot` and keep it if rule 5 holds. */
static bool settle(struct sqlite_pin *pin, int slot, uint32_t mark)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	if (!sqlite_slots_take(&slots, slot, mark, &pin->header))
		return false;
	pin->hold.slot = slot;
	pin->hold.mark = mark;
	return true;
}

/* Rules 5 and 6. FROZEN with slot == -1: no slot is to be had, lock 0 stays. */
static enum verdict take_slot(struct sqlite_pin *pin)
{
	const struct sqlite_slots slots = sqlite_pin_slots(pin);
	const uint32_t want = pin->header.max_frame;
	uint32_t best_mark = 0;
	int best = -1;

	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++)
		if (sqlite_index_mark(pin->index, slot) == want &&
		    settle(pin, slot, want))
			return FROZEN;
	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++)
		if (sqlite_slots_set_mark(&slots, slot, want) &&
		    settle(pin, slot, want))
			return FROZEN;
	if (!header_is_still(pin))
		return MOVED;
	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++) {
		uint32_t mark = sqlite_index_mark(pin->index, slot);

		if (mark <= want && mark >= best_mark) {
			best = slot;
			best_mark = mark;
		}
	}
	if (best >= 0 && settle(pin, best, best_mark))
		return FROZEN;
	return header_is_still(pin) ? FROZEN : MOVED;
}

static int promote(
    struct sqlite_pin *pin, enum verdict *ret_verdict, struct still_error *err)
{
	int rc = 0;

	if (!pin->carrier.file)
		rc = sqlite_handle_open(&pin->carrier, &pin->target, err);
	if (rc == 0)
		*ret_verdict = take_slot(pin);
	return rc;
}

int sqlite_pin_switched(const struct sqlite_pin *pin, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_NOTFOUND, 0, "Try again.",
	    "database `%s`: its application switched its journal mode",
	    pin->target.rel);
}

/* Steps 1-6, once. */
static int attempt(
    struct sqlite_pin *pin, enum verdict *ret_verdict, struct still_error *err)
{
	struct sqlite_index_header before;
	bool whole = sqlite_index_read(pin->index, &before);
	int rc = sqlite_handle_begin(&pin->reader, &pin->target, err);

	pin->tries++;
	*ret_verdict = MOVED;
	if (rc == 0 && pin->reader.log != SQLITE_LOG_WAL)
		rc = sqlite_pin_switched(pin, err);
	if (rc < 0)
		return rc;
	pin->backfill = sqlite_index_backfill(pin->index);
	pin->frozen_at_ns = still_sys_now_ns();
	if (whole && sqlite_index_read(pin->index, &pin->header) &&
	    memcmp(&before, &pin->header, sizeof(before)) == 0 &&
	    pin->backfill <= pin->header.max_frame) {
		*ret_verdict = FROZEN;
		if (pin->backfill == pin->header.max_frame)
			rc = promote(pin, ret_verdict, err);
	}
	if (rc < 0 || *ret_verdict == MOVED || pin->hold.slot >= 0)
		sqlite_handle_end(&pin->reader);
	return rc;
}

bool sqlite_pin_hold(struct sqlite_pin *pin)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	return sqlite_slots_hold_writers(&slots);
}

void sqlite_pin_let_go(struct sqlite_pin *pin)
{
	struct sqlite_slots slots = sqlite_pin_slots(pin);

	sqlite_slots_let_writers_go(&slots);
}

/* Hold the writers off for one attempt; they wait in their busy handlers. */
static int attempt_alone(
    struct sqlite_pin *pin, enum verdict *ret_verdict, struct still_error *err)
{
	int rc = 0;

	*ret_verdict = MOVED;
	if (!pin->carrier.file)
		rc = sqlite_handle_open(&pin->carrier, &pin->target, err);
	if (rc < 0 || !sqlite_pin_hold(pin))
		return rc;
	rc = attempt(pin, ret_verdict, err);
	sqlite_pin_let_go(pin);
	return rc;
}

static int freeze(struct sqlite_pin *pin, int64_t limit_ns,
    const atomic_bool *cancel, struct still_error *err)
{
	int64_t deadline_ns = still_sys_monotonic_ns() + limit_ns;
	int64_t backoff_ns = BACKOFF_FIRST_NS;
	enum verdict verdict = MOVED;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && verdict == MOVED; i++) {
		if (atomic_load(cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "database `%s`: the freeze was stopped",
			    pin->target.rel);
		if (i < OPTIMISTIC_TRIES) {
			rc = attempt(pin, &verdict, err);
			continue;
		}
		rc = attempt_alone(pin, &verdict, err);
		if (rc < 0 || verdict == FROZEN)
			break;
		if (still_sys_monotonic_ns() > deadline_ns)
			return still_error_set(err, STILL_ERR_BUSY, 0,
			    "Raise `freeze_ms`, or begin when fewer writers "
			    "are at work.",
			    "database `%s`: no quiet moment within %lld ms",
			    pin->target.rel, (long long) (limit_ns / 1000000));
		still_sys_sleep_ns(backoff_ns);
		if (backoff_ns < BACKOFF_LAST_NS)
			backoff_ns *= 2;
	}
	return rc;
}

/* The pin stands at the moment. */
static void settle_hold(struct sqlite_pin *pin)
{
	pin->hold.header = pin->header;
	pin->hold.backfill = pin->backfill;
}

int sqlite_pin_take(struct sqlite_pin *pin, int64_t limit_ns,
    const atomic_bool *cancel, struct still_error *err)
{
	int rc = freeze(pin, limit_ns, cancel, err);

	if (rc < 0)
		return rc;
	settle_hold(pin);
	/* Only one of the two carries the pin. */
	if (pin->hold.slot >= 0)
		sqlite_handle_close(&pin->reader);
	else
		sqlite_handle_close(&pin->carrier);
	return 0;
}

/* ---- freezing with the writers held off --------------------------------- */

int sqlite_pin_fix(
    struct sqlite_pin *pin, bool *ret_fixed, struct still_error *err)
{
	int rc;

	pin->tries++;
	*ret_fixed = false;
	/* A writer that died left its two copies unequal. */
	if (!sqlite_index_read(pin->index, &pin->header) ||
	    take_slot(pin) == MOVED)
		return 0;
	if (pin->hold.slot < 0) {
		/* But for read lock 0 SQLite would wait for a slot, seconds. */
		if (sqlite_index_backfill(pin->index) < pin->header.max_frame)
			return 0;
		pin->target.busy_ms = 0;
		rc = sqlite_handle_begin(&pin->reader, &pin->target, err);
		pin->target.busy_ms = BUSY_TIMEOUT_MS;
		if (rc < 0 || !header_is_still(pin)) {
			sqlite_handle_end(&pin->reader);
			if (rc != STILL_ERR_BUSY)
				return rc;
			still_error_clear(err);
			return 0;
		}
	}
	pin->backfill = sqlite_index_backfill(pin->index);
	pin->frozen_at_ns = still_sys_now_ns();
	*ret_fixed = pin->backfill <= pin->header.max_frame;
	settle_hold(pin);
	if (!*ret_fixed)
		sqlite_pin_drop(pin);
	return 0;
}

void sqlite_pin_drop(struct sqlite_pin *pin)
{
	let_slot_go(pin);
	sqlite_handle_end(&pin->reader);
}

/* ---- opening ------------------------------------------------------------- */

/* SQLite has the log open and its lock on the database keeps it from being
 * removed or replaced, so the file at its path is the one that it uses. */
static int open_log(
    struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	char *rel = NULL;
	int rc;

	if (asprintf(&rel, "%s-wal", pin->target.rel) < 0)
		return still_error_nomem(err);
	rc = sqlite_file_open(root_fd, rel, &pin->wal, &pin->wal_st, err);
	free(rel);
	return rc;
}

static int open_all(struct sqlite_pin *pin,
    const struct sqlite_pin_request *request, struct still_error *err)
{
	int rc = sqlite_file_open(
	    request->root_fd, request->rel, &pin->db, &pin->target.st, err);

	if (rc == 0)
		rc = sqlite_guard_check(
		    &pin->target, pin->db, request->root_fd, err);
	if (rc == 0)
		rc = sqlite_handle_open(&pin->reader, &pin->target, err);
	if (rc == 0 && pin->reader.log == SQLITE_LOG_WAL) {
		rc = map_index(pin, request->root_fd, err);
		if (rc == 0)
			rc = open_log(pin, request->root_fd, err);
	}
	return rc;
}

int sqlite_pin_open(struct sqlite_pin *pin,
    const struct sqlite_pin_request *request, struct still_error *err)
{
	int rc;

	memset(pin, 0, sizeof(*pin));
	pin->hold.slot = -1;
	pin->target.rel = request->rel;
	pin->target.cancel = request->cancel;
	pin->target.busy_ms = BUSY_TIMEOUT_MS;
	if (request->limit_ns < BUSY_TIMEOUT_MS * INT64_C(1000000))
		pin->target.busy_ms = (int) (request->limit_ns / 1000000);
	pin->target.path = still_path_join(request->root, request->rel);
	if (!pin->target.path)
		return still_error_nomem(err);
	rc = open_all(pin, request, err);
	pin->log = pin->reader.log;
	if (rc < 0)
		sqlite_pin_release(pin);
	return rc;
}

int sqlite_pin_refresh(struct sqlite_pin *pin, struct still_error *err)
{
	int rc = sqlite_handle_begin(&pin->reader, &pin->target, err);

	sqlite_handle_end(&pin->reader);
	if (rc == 0 && pin->reader.log != pin->log)
		rc = sqlite_pin_switched(pin, err);
	return rc;
}

/* ---- life -------------------------------------------------------------- */

uint32_t sqlite_pin_index_page(struct sqlite_pin *pin, uint32_t frame)
{
	sqlite3_file *file = lock_file(pin);
	void volatile *data = NULL;
	size_t word;
	int block;
	int rc;

	sqlite_index_locate(frame, &block, &word);
	rc = file->pMethods->xShmMap(
	    file, block, SQLITE_INDEX_BLOCK_BYTES, 0, &data);
	if (!maps(rc, data))
		return 0;
	return __atomic_load_n(
	    (volatile uint32_t *) data + word, __ATOMIC_ACQUIRE);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

int sqlite_pin_check(const struct sqlite_pin *pin, int root_fd,
    uint64_t *ret_log_bytes, struct still_error *err)
{
	const struct sqlite_hold *hold = &pin->hold;
	const char *why = NULL;
	struct sqlite_index_header now;
	struct stat st;

	/* Who opens the database anew after its sidecars were replaced shares
	 * no lock with us. */
	if (sqlite_sidecar_stat(root_fd, pin->target.rel, "-shm", &st) < 0 ||
	    !same_file(&st, &pin->shm_st))
		why = "its -shm file was removed or replaced";
	else if (sqlite_sidecar_stat(root_fd, pin->target.rel, "-wal", &st) <
		0 ||
	    !same_file(&st, &pin->wal_st))
		why = "its -wal file was removed or replaced";
	else if (hold->slot > 0 &&
	    sqlite_index_mark(pin->index, hold->slot) != hold->mark)
		why = "its read mark was overwritten";
	/* An empty log gets its salts with its first frame. */
	else if (!sqlite_hold_lets_restart(hold) &&
	    hold->header.max_frame > 0 && sqlite_index_read(pin->index, &now) &&
	    memcmp(now.salts, hold->header.salts, sizeof(now.salts)) != 0)
		why = "its log was restarted";
	if (!why) {
		*ret_log_bytes = (uint64_t) st.st_size;
		return 0;
	}
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "The live database is not harmed by stillfs; begin another "
	    "session.",
	    "database `%s`: the snapshot is no longer protected, %s",
	    pin->target.rel, why);
}

void sqlite_pin_release(struct sqlite_pin *pin)
{
	/* SQLite forgets the locks of a connection that closes while another
	 * one shares the file, so ours are given back by hand. */
	let_slot_go(pin);
	sqlite_handle_close(&pin->carrier);
	sqlite_handle_close(&pin->reader);
	sqlite_file_close(pin->shm);
	sqlite_file_close(pin->wal);
	sqlite_file_close(pin->db);
	free(pin->target.path);
	pin->target.path = NULL;
	pin->shm = pin->wal = pin->db = NULL;
	pin->index = NULL;
	pin->hold.slot = -1;
}
