/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/assist.h"

#include "base/sys.h"

#define LOG_BYTES (UINT64_C(8) << 20)

/* A checkpoint of the application, or a writer that is long at work, passes. */
#define PAUSE_NS (STILL_NS_PER_S / 20)

#define HOLD_TRIES 20
#define HOLD_PAUSE_NS 500000

#define FIRST_WITHOUT_BUG 3051003

bool sqlite_assist_is_risky(void)
{
	return sqlite3_libversion_number() < FIRST_WITHOUT_BUG;
}

bool sqlite_assist_is_due(
    const struct sqlite_assist *assist, uint64_t log_bytes, int64_t now_ns)
{
	return !assist->given_up && log_bytes >= LOG_BYTES &&
	    now_ns >= assist->not_before_ns;
}

/* Write back all that the pin allows. False: somebody else is at it. */
static bool write_back(struct sqlite_assist *assist)
{
	return sqlite3_wal_checkpoint_v2(assist->writer.conn, "main",
		   SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK;
}

static int hop(
    const struct sqlite_tick *tick, unsigned *moves, struct still_error *err)
{
	bool moved;
	int rc = sqlite_tick(tick, &moved, err);

	*moves += moved;
	return rc;
}

static bool hold_writers(struct sqlite_pin *pin)
{
	for (int i = 0; i < HOLD_TRIES; i++) {
		if (sqlite_pin_hold(pin))
			return true;
		still_sys_sleep_ns(HOLD_PAUSE_NS);
	}
	return false;
}

/* Step 2, with the writers held off. */
static int catch_up(struct sqlite_assist *assist,
    const struct sqlite_tick *tick, unsigned *moves, struct still_error *err)
{
	int rc = hop(tick, moves, err);

	if (rc == 0 && write_back(assist))
		rc = hop(tick, moves, err);
	return rc;
}

static int open_writer(struct sqlite_assist *assist, struct sqlite_pin *pin,
    struct still_error *err)
{
	int rc = 0;

	if (!assist->writer.conn)
		rc = sqlite_handle_open_writable(
		    &assist->writer, &pin->target, err);
	if (rc < 0) {
		sqlite_handle_close(&assist->writer);
		assist->given_up = true;
	}
	return rc;
}

int sqlite_assist(struct sqlite_assist *assist, const struct sqlite_tick *tick,
    unsigned *ret_moves, struct still_error *err)
{
	struct sqlite_pin *pin = &tick->image->pin;
	int rc = open_writer(assist, pin, err);

	*ret_moves = 0;
	assist->not_before_ns = still_sys_monotonic_ns() + PAUSE_NS;
	if (rc == 0)
		rc = hop(tick, ret_moves, err);
	if (rc < 0 || !write_back(assist) || !hold_writers(pin))
		return rc;
	rc = catch_up(assist, tick, ret_moves, err);
	sqlite_pin_let_go(pin);
	return rc;
}

void sqlite_assist_end(struct sqlite_assist *assist)
{
	sqlite_handle_close(&assist->writer);
}
