/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/governor_hooks.h"

#ifdef STILL_TEST_POINTS

#	include <stdatomic.h>
#	include <stdlib.h>
#	include <string.h>

#	include "base/sys.h"
#	include "engines/sqlite/points.h"
#	include "tests/engine/moment.h"

#	define MS INT64_C(1000000)
/* How long a reader that knows where its bytes are waits for the pin to go.
 * Where the governor waits for readers, it cannot. */
#	define READER_WAITS_NS (60 * MS)
#	define AFTER_RELEASE_NS (40 * MS)
#	define LINGER_NS (25 * MS)

static const char *const faults[] = {
    [SQLITE_FAULT_NONE] = "none",
    [SQLITE_FAULT_DROP_PAGE] = "drop_page",
    [SQLITE_FAULT_RELEASE_FIRST] = "release_first",
    [SQLITE_FAULT_IGNORE_SHRINK] = "ignore_shrink",
    [SQLITE_FAULT_NO_DRAIN] = "no_drain",
};

static enum sqlite_fault fault;
static int64_t slow_ns;
static bool hold_readers;
static bool linger;

static atomic_uint_fast64_t n_released;
static atomic_uint_fast64_t n_looked_up;
static atomic_bool held; /* a reader is waiting already */

/* A few readers, one at a time, are held between the look-up and the read,
 * until a pin was let go of, and for as long again as a checkpoint may take. */
static void hold_reader(void)
{
	int64_t end_ns = still_sys_monotonic_ns() + READER_WAITS_NS;
	uint64_t before = atomic_load(&n_released);

	if (atomic_fetch_add(&n_looked_up, 1) % 7 != 0 ||
	    atomic_exchange(&held, true))
		return;
	while (atomic_load(&n_released) == before &&
	    still_sys_monotonic_ns() < end_ns)
		still_sys_sleep_ns(MS / 4);
	if (atomic_load(&n_released) != before)
		still_sys_sleep_ns(AFTER_RELEASE_NS);
	atomic_store(&held, false);
}

static void at_point(enum sqlite_point point, const struct sqlite_image *image)
{
	(void) image;
	switch (point) {
	case SQLITE_POINT_RELEASED:
		atomic_fetch_add(&n_released, 1);
		break;
	case SQLITE_POINT_LOOKED_UP:
		if (hold_readers)
			hold_reader();
		break;
	case SQLITE_POINT_FRAMES_SCANNED:
		if (linger)
			still_sys_sleep_ns(LINGER_NS);
		break;
	case SQLITE_POINT_PIECE_READ:
		still_sys_sleep_ns(slow_ns);
		break;
	default:
		break;
	}
}

bool governor_hooks_set(const char *key, const char *value)
{
	bool on = strtoul(value, NULL, 10) != 0;

	if (strcmp(key, "slow_us") == 0) {
		slow_ns = (int64_t) strtoul(value, NULL, 10) * 1000;
		return true;
	}
	if (strcmp(key, "hold_readers") == 0) {
		hold_readers = on;
		return true;
	}
	if (strcmp(key, "linger") == 0) {
		linger = on;
		return true;
	}
	if (strcmp(key, "fault") != 0)
		return false;
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (strcmp(faults[i], value) == 0) {
			fault = (enum sqlite_fault) i;
			return true;
		}
	moment_die(value, "no such fault");
}

void governor_hooks_start(void)
{
	sqlite_fault = fault;
	sqlite_point_hook = at_point;
}

void governor_hooks_stop(void)
{
	sqlite_point_hook = NULL;
	sqlite_fault = SQLITE_FAULT_NONE;
}

#else

bool governor_hooks_set(const char *key, const char *value)
{
	(void) key;
	(void) value;
	return false;
}

void governor_hooks_start(void)
{
}

void governor_hooks_stop(void)
{
}

#endif
