/* SPDX-License-Identifier: MIT */
/*
 * ticker: tells the progress of a task to whoever asked, a few times a second,
 * from a thread of its own (still_set.h), and carries the task's stop.
 *
 * Threads: one begins and ends it and names the phases; others count.
 */
#ifndef STILL_CORE_TICKER_H
#define STILL_CORE_TICKER_H

#include <pthread.h>

#include "base/bell.h"
#include "still_set.h"

#define STILL_TICKER_PAST_MAX 16

typedef void still_ticker_ask_fn(
    void *arg, uint64_t *ret_done_bytes, uint64_t *ret_bytes);

struct still_ticker {
	const struct still_task *task; /* borrowed */
	atomic_bool stop; /* of the task: by its caller, or by a failure */
	atomic_bool ended;
	struct still_bell bell;
	pthread_t thread;
	bool running;
	pthread_mutex_t telling; /* held for as long as somebody is told */
	pthread_mutex_t lock;    /* of what follows */
	bool begun;              /* there is a phase */
	struct still_progress progress;
	/* Who knows the bytes of the phase; NULL: they are counted here. */
	still_ticker_ask_fn *ask;
	void *ask_arg;
	char *path;       /* owned; progress.path */
	int64_t begun_ns; /* of the phase */
	/* How earlier phases ended, to be told first. */
	struct still_progress past[STILL_TICKER_PAST_MAX];
	unsigned n_past;
};

/* Without a thread, or memory, nobody is told, and nothing fails. */
void still_ticker_begin(
    struct still_ticker *ticker, const struct still_task *task);
/* Tells the last of it. */
void still_ticker_end(struct still_ticker *ticker);

void still_ticker_phase(struct still_ticker *ticker, enum still_phase phase,
    uint64_t files, uint64_t bytes);
/* From now on `ask` tells the bytes of this phase. Any thread may call it,
 * under a lock; it must not block. */
void still_ticker_ask(
    struct still_ticker *ticker, still_ticker_ask_fn *ask, void *arg);
/* A file is begun. */
void still_ticker_file(struct still_ticker *ticker, const char *path);
void still_ticker_count(
    struct still_ticker *ticker, uint64_t files, uint64_t bytes);

/*
 * For a fork: nobody is told anything between these two, so that the thread of
 * the ticker has no lock of a library's. False, and nothing is held, where a
 * listener takes longer than a tenth of a second.
 */
bool still_ticker_hold(struct still_ticker *ticker);
void still_ticker_let_go(struct still_ticker *ticker);

/* Has the caller raised his flag, or somebody still_ticker_stop()? */
bool still_ticker_stopped(const struct still_ticker *ticker);
void still_ticker_stop(struct still_ticker *ticker);

/* CANCELLED, where the caller raised his flag; else 0. */
int still_ticker_check(
    const struct still_ticker *ticker, struct still_error *err);

#endif
