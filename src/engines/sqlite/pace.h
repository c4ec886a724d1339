/* SPDX-License-Identifier: MIT */
/*
 * pace: how fast a big copy may go beside its application.
 *
 * Threads: one.
 */
#ifndef SQLITE_PACE_H
#define SQLITE_PACE_H

#include <stdint.h>

/* Bytes a second, where nothing presses. */
#define SQLITE_PACE_BYTES_PER_S (UINT64_C(128) << 20)

struct sqlite_pace {
	uint64_t limit_bytes; /* of the logs' growth; 0: none */
	int64_t begun_ns;     /* 0: not yet */
	int64_t grown_at_begin;
	double debt_bytes; /* written and not yet paid for in time */
	int64_t paid_ns;
};

/* `bytes` were written, `left_bytes` are still to be, and the logs are longer by
 * `grown_bytes`: how long to pause now, in nanoseconds. Pure, but for the state;
 * `now_ns` is CLOCK_MONOTONIC. */
int64_t sqlite_pace_pause_ns(struct sqlite_pace *pace, uint64_t bytes,
    uint64_t left_bytes, uint64_t grown_bytes, int64_t now_ns);

#endif
