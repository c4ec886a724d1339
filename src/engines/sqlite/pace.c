/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/pace.h"

#include "base/sys.h"

/* Before that much time the growth of a log says nothing of its speed. */
#define LEARN_NS (STILL_NS_PER_S / 4)

/* Less is not slept for. */
#define PAUSE_MIN_NS (INT64_C(1000) * 1000)
#define PAUSE_MAX_NS (STILL_NS_PER_S / 10)

/* With which speed the rest is done when half of the limit is used up. 0: as fast
 * as it goes. */
static double needed(const struct sqlite_pace *pace, uint64_t left_bytes,
    uint64_t grown_bytes, int64_t now_ns)
{
	double seconds = (double) (now_ns - pace->begun_ns) /
	    (double) STILL_NS_PER_S;
	double grown = (double) grown_bytes - (double) pace->grown_at_begin;
	double room = (double) pace->limit_bytes / 2 - (double) grown_bytes;

	if (room <= 0)
		return 0;
	if (now_ns - pace->begun_ns < LEARN_NS || grown <= 0)
		return (double) SQLITE_PACE_BYTES_PER_S;
	return (double) left_bytes * (grown / seconds) / room;
}

int64_t sqlite_pace_pause_ns(struct sqlite_pace *pace, uint64_t bytes,
    uint64_t left_bytes, uint64_t grown_bytes, int64_t now_ns)
{
	double rate = (double) SQLITE_PACE_BYTES_PER_S;
	double pause;

	if (pace->begun_ns == 0) {
		pace->begun_ns = pace->paid_ns = now_ns;
		pace->grown_at_begin = (int64_t) grown_bytes;
	}
	if (pace->limit_bytes > 0) {
		double need = needed(pace, left_bytes, grown_bytes, now_ns);

		if (need > rate)
			rate = need;
		if (need <= 0)
			rate = 0;
	}
	if (rate <= 0) {
		pace->debt_bytes = 0;
		pace->paid_ns = now_ns;
		return 0;
	}
	pace->debt_bytes += (double) bytes;
	pace->debt_bytes -= rate * (double) (now_ns - pace->paid_ns) /
	    (double) STILL_NS_PER_S;
	pace->paid_ns = now_ns;
	if (pace->debt_bytes < 0)
		pace->debt_bytes = 0;
	pause = pace->debt_bytes / rate * (double) STILL_NS_PER_S;
	if (pause < (double) PAUSE_MIN_NS)
		return 0;
	return pause > (double) PAUSE_MAX_NS ? PAUSE_MAX_NS : (int64_t) pause;
}
