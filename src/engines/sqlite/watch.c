/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/watch.h"

#include <string.h>

#include "base/sys.h"
#include "engines/sqlite/hop.h"
#include "engines/sqlite/index.h"

#define NS_PER_MS INT64_C(1000000)

#define OVERTAKEN_NS (20 * NS_PER_MS)
#define LOG_BYTES (UINT64_C(1) << 20)

/* A checkpoint that still waits so long after the pin moved away, though nothing
 * of ours is behind, waits for the slot that the pin moved to. SQLite looks again
 * after 25 ms at the latest, in its first tenth of a second. Who has not looked
 * again yet waits for the slot that the pin came from, and to step back into that
 * is what must not be done. */
#define SIDESTEP_NS (40 * NS_PER_MS)

/* How long the writers may stand behind a pin that cannot be moved. */
#define WAIT_NS STILL_NS_PER_S

#define BACKOFF_FIRST_NS (20 * NS_PER_MS)
#define BACKOFF_LAST_NS STILL_NS_PER_S

void sqlite_watch_look(
    const struct sqlite_watch *watch, struct sqlite_sight *ret)
{
	const struct sqlite_pin *pin = &watch->image->pin;

	ret->backfill = sqlite_index_backfill(pin->index);
	ret->whole = sqlite_index_read(pin->index, &ret->header);
	ret->waiter = watch->prepared ? sqlite_hop_waiter(pin) : 0;
}

/* A mark that is older than its commit was all that was to be had. */
static bool is_overtaken(
    const struct sqlite_hold *hold, const struct sqlite_sight *sight)
{
	return (hold->slot > 0 && hold->mark < hold->header.max_frame) ||
	    memcmp(&hold->header, &sight->header, sizeof(hold->header)) != 0;
}

uint64_t sqlite_watch_log_bytes(const struct sqlite_watch *watch,
    const struct sqlite_sight *sight, uint32_t after)
{
	if (!sight->whole || sight->header.max_frame <= after)
		return 0;
	return (uint64_t) (sight->header.max_frame - after) *
	    (SQLITE_FRAME_HEADER_BYTES + watch->image->page_size_bytes);
}

/* Of commits that the pin does not stand at yet. */
static uint64_t behind_bytes(const struct sqlite_watch *watch,
    const struct sqlite_hold *hold, const struct sqlite_sight *sight)
{
	uint32_t from = 0;

	if (memcmp(hold->header.salts, sight->header.salts,
		sizeof(hold->header.salts)) == 0 &&
	    sight->header.max_frame >= hold->header.max_frame)
		from = hold->header.max_frame;
	return sqlite_watch_log_bytes(watch, sight, from);
}

static enum sqlite_reason judge_waiter(struct sqlite_watch *watch,
    const struct sqlite_hold *hold, bool overtaken, int64_t now_ns)
{
	/* A mark that is behind, or lock 0, under which nothing is written. */
	if (overtaken)
		return SQLITE_REASON_WAITER;
	/* Which slot a transaction is in, and with which mark, nobody knows: it
	 * may share an older one. */
	if (sqlite_hold_lets_restart(hold) ||
	    now_ns - watch->stepped_ns < SIDESTEP_NS)
		return SQLITE_REASON_NONE;
	watch->avoid = hold->slot;
	return SQLITE_REASON_WAITER;
}

/* Somebody else waits, or nobody. Who comes now has all writers behind him, and
 * what failed before was no matter of that. */
static void change_waiter(
    struct sqlite_watch *watch, pid_t waiter, int64_t now_ns)
{
	watch->waiter = waiter;
	watch->waiter_counted = false;
	watch->stepped_ns = now_ns;
	watch->waited_ns = now_ns;
	if (waiter && watch->backoff_ns > BACKOFF_FIRST_NS) {
		watch->not_before_ns -= watch->backoff_ns - BACKOFF_FIRST_NS;
		watch->backoff_ns = BACKOFF_FIRST_NS;
	}
}

enum sqlite_reason sqlite_watch_judge(struct sqlite_watch *watch,
    const struct sqlite_sight *sight, int64_t pin_limit_ns, int64_t now_ns)
{
	const struct sqlite_hold *hold = &watch->image->pin.hold;
	bool overtaken = sight->whole && is_overtaken(hold, sight);
	bool full = sight->whole && sight->backfill == sight->header.max_frame;

	watch->avoid = -1;
	if (sight->waiter != watch->waiter)
		change_waiter(watch, sight->waiter, now_ns);
	if (!overtaken) {
		atomic_store(&watch->stands_ns, now_ns);
		watch->overtaken_ns = 0;
	} else if (watch->overtaken_ns == 0) {
		watch->overtaken_ns = now_ns;
	}
	if (!sight->whole || now_ns < watch->not_before_ns)
		return SQLITE_REASON_NONE;
	if (full && !sqlite_hold_lets_restart(hold))
		return SQLITE_REASON_FULL;
	if (sight->waiter) {
		enum sqlite_reason reason = judge_waiter(
		    watch, hold, overtaken, now_ns);

		if (reason != SQLITE_REASON_NONE)
			return reason;
	}
	if (!overtaken)
		return SQLITE_REASON_NONE;
	if (sqlite_hold_lets_restart(hold) &&
	    now_ns - watch->overtaken_ns >= OVERTAKEN_NS)
		return SQLITE_REASON_OVERTAKEN;
	if (behind_bytes(watch, hold, sight) >= LOG_BYTES)
		return SQLITE_REASON_BYTES;
	if (now_ns - atomic_load(&watch->stands_ns) >= pin_limit_ns)
		return SQLITE_REASON_AGE;
	return SQLITE_REASON_NONE;
}

bool sqlite_watch_moved(
    struct sqlite_watch *watch, enum sqlite_reason reason, int64_t now_ns)
{
	bool let_by = watch->waiter && !watch->waiter_counted &&
	    reason != SQLITE_REASON_NONE;

	atomic_store(&watch->stands_ns, now_ns);
	watch->overtaken_ns = 0;
	watch->backoff_ns = 0;
	watch->not_before_ns = 0;
	watch->stepped_ns = now_ns;
	watch->waited_ns = now_ns;
	watch->waiter_counted |= let_by;
	return let_by;
}

bool sqlite_watch_is_overdue(const struct sqlite_watch *watch, int64_t now_ns)
{
	return watch->waiter && now_ns - watch->waited_ns >= WAIT_NS;
}

void sqlite_watch_failed(struct sqlite_watch *watch, int64_t now_ns)
{
	watch->backoff_ns = watch->backoff_ns && !watch->waiter
	    ? 2 * watch->backoff_ns
	    : BACKOFF_FIRST_NS;
	if (watch->backoff_ns > BACKOFF_LAST_NS)
		watch->backoff_ns = BACKOFF_LAST_NS;
	watch->not_before_ns = now_ns + watch->backoff_ns;
}
