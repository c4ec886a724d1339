/* SPDX-License-Identifier: MIT */
/* A mount to tell of, for the tests of what it says of itself. */
#ifndef TESTS_UNIT_MOUNTED_H
#define TESTS_UNIT_MOUNTED_H

#include "base/sys.h"
#include "still.h"

static const struct still_instance_info mounted_instance = {
    .source = "/srv/app",
    .engine = "fake",
    .engine_version = "1.0",
    .n_databases = 2,
};

static inline struct still_session_status serving(void)
{
	return (struct still_session_status){
	    .state = STILL_SERVING,
	    .id = "20231114T221320Z-01234567",
	    .number = 17,
	    .begun_at_ns = INT64_C(1700000000) * STILL_NS_PER_S,
	    .frozen_at_ns = INT64_C(1700000001) * STILL_NS_PER_S + 5000000,
	    .n_pinned = 2,
	    .pin_age_ns = 90 * STILL_NS_PER_S,
	    .cut = "one moment",
	    .cut_width_ns = 1234,
	    .writers_held_ns = 5678,
	    .verified = "header+logs",
	    .databases = 3,
	    .files = 4,
	    .files_whole = 1,
	    .bytes = 3 * 1024 * 1024,
	    .bytes_served = 1536,
	    .bytes_hashed = 700,
	};
}

static inline struct still_mount_status mount_of(
    const struct still_session_status *session)
{
	return (struct still_mount_status){
	    .mountpoint = "/mnt/still",
	    .state_dir = "/var/lib/stillfs",
	    .lease_ns = 600 * STILL_NS_PER_S,
	    .stall_ns = 21600 * STILL_NS_PER_S,
	    .started_at_ns = INT64_C(1600000000) * STILL_NS_PER_S,
	    .pid = 4711,
	    .instance = &mounted_instance,
	    .session = session,
	};
}

/* The source's session `number`, `age_s` old. */
static inline struct still_record record(
    uint64_t number, enum still_outcome outcome, int64_t age_s)
{
	int64_t frozen_at_ns = still_sys_now_ns() - age_s * STILL_NS_PER_S -
	    STILL_NS_PER_S / 2;
	struct still_record r = {
	    .id = "20231110T221320Z-89abcdef",
	    .number = number,
	    .state = STILL_ENDED,
	    .outcome = outcome,
	    .begun_at_ns = frozen_at_ns,
	    .frozen_at_ns = frozen_at_ns,
	    .ended_at_ns = frozen_at_ns + 1,
	    .bytes = 5 * 1024,
	    .place = (char *) "/mnt/still",
	};
	struct still_session_status s = {.outcome = outcome};

	still_outcome_text(&s, r.outcome_text);
	return r;
}

#endif
