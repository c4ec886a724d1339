/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/ticker.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sys.h"

#define TICK_NS (STILL_NS_PER_S / 5)
#define HOLD_NS (STILL_NS_PER_S / 10)

const char *still_phase_word(enum still_phase phase)
{
	static const char *const words[STILL_PHASE_COUNT] = {
	    [STILL_PHASE_FREEZING] = "freezing",
	    [STILL_PHASE_COPYING] = "copying",
	    [STILL_PHASE_SYNCING] = "syncing",
	    [STILL_PHASE_VERIFYING] = "verifying",
	    [STILL_PHASE_CHECKING] = "checking",
	    [STILL_PHASE_APPLYING] = "applying",
	};

	return words[phase];
}

/* ---- the thread ---------------------------------------------------------- */

/* Under the lock. */
static struct still_progress now_of(const struct still_ticker *ticker)
{
	struct still_progress now = ticker->progress;

	now.path = "";
	if (ticker->ask)
		ticker->ask(ticker->ask_arg, &now.bytes_done, &now.bytes);
	/* Those two may be of two looks. */
	if (ticker->ask && now.bytes_done > now.bytes)
		now.bytes_done = now.bytes;
	now.phase_ns = still_sys_monotonic_ns() - ticker->begun_ns;
	return now;
}

/* What is told is a copy: who listens may be slow, and the work goes on. */
static void tell(struct still_ticker *ticker)
{
	struct still_progress list[STILL_TICKER_PAST_MAX + 1];
	const struct still_task *task = ticker->task;
	char *path = NULL;
	unsigned n;

	pthread_mutex_lock(&ticker->telling);
	pthread_mutex_lock(&ticker->lock);
	n = ticker->n_past;
	memcpy(list, ticker->past, n * sizeof(list[0]));
	ticker->n_past = 0;
	if (ticker->begun)
		list[n++] = now_of(ticker);
	if (ticker->begun && ticker->path)
		path = strdup(ticker->path);
	pthread_mutex_unlock(&ticker->lock);
	if (path)
		list[n - 1].path = path;
	for (unsigned i = 0; i < n; i++)
		task->progress(task->progress_arg, &list[i]);
	free(path);
	pthread_mutex_unlock(&ticker->telling);
}

static void *run(void *arg)
{
	struct still_ticker *ticker = arg;

	bool last;

	do {
		last = atomic_load(&ticker->ended);
		if (!last)
			still_bell_wait(&ticker->bell, TICK_NS);
		tell(ticker);
	} while (!last);
	return NULL;
}

void still_ticker_begin(
    struct still_ticker *ticker, const struct still_task *task)
{
	memset(ticker, 0, sizeof(*ticker));
	ticker->task = task;
	atomic_init(&ticker->stop, false);
	atomic_init(&ticker->ended, false);
	pthread_mutex_init(&ticker->telling, NULL);
	pthread_mutex_init(&ticker->lock, NULL);
	still_bell_init(&ticker->bell);
	ticker->begun_ns = still_sys_monotonic_ns();
	if (task->progress)
		ticker->running = still_sys_thread_start(
				      &ticker->thread, run, ticker) == 0;
}

void still_ticker_end(struct still_ticker *ticker)
{
	atomic_store(&ticker->ended, true);
	still_bell_ring(&ticker->bell);
	if (ticker->running)
		pthread_join(ticker->thread, NULL);
	free(ticker->path);
	still_bell_release(&ticker->bell);
	pthread_mutex_destroy(&ticker->lock);
	pthread_mutex_destroy(&ticker->telling);
}

/* ---- what is told -------------------------------------------------------- */

void still_ticker_phase(struct still_ticker *ticker, enum still_phase phase,
    uint64_t files, uint64_t bytes)
{
	pthread_mutex_lock(&ticker->lock);
	if (ticker->begun && ticker->n_past < STILL_TICKER_PAST_MAX)
		ticker->past[ticker->n_past++] = now_of(ticker);
	memset(&ticker->progress, 0, sizeof(ticker->progress));
	ticker->progress.phase = phase;
	ticker->progress.files = files;
	ticker->progress.bytes = bytes;
	ticker->ask = NULL;
	ticker->begun_ns = still_sys_monotonic_ns();
	ticker->begun = true;
	free(ticker->path);
	ticker->path = NULL;
	pthread_mutex_unlock(&ticker->lock);
	still_bell_ring(&ticker->bell);
}

void still_ticker_ask(
    struct still_ticker *ticker, still_ticker_ask_fn *ask, void *arg)
{
	pthread_mutex_lock(&ticker->lock);
	ticker->ask = ask;
	ticker->ask_arg = arg;
	pthread_mutex_unlock(&ticker->lock);
}

void still_ticker_file(struct still_ticker *ticker, const char *path)
{
	char *copy;

	if (!ticker->running)
		return;
	copy = strdup(path);
	pthread_mutex_lock(&ticker->lock);
	free(ticker->path);
	ticker->path = copy;
	pthread_mutex_unlock(&ticker->lock);
}

void still_ticker_count(
    struct still_ticker *ticker, uint64_t files, uint64_t bytes)
{
	pthread_mutex_lock(&ticker->lock);
	ticker->progress.files_done += files;
	ticker->progress.bytes_done += bytes;
	pthread_mutex_unlock(&ticker->lock);
}

bool still_ticker_hold(struct still_ticker *ticker)
{
	int64_t until_ns = still_sys_now_ns() + HOLD_NS;
	struct timespec until = {
	    .tv_sec = (time_t) (until_ns / STILL_NS_PER_S),
	    .tv_nsec = (long) (until_ns % STILL_NS_PER_S),
	};

	return pthread_mutex_timedlock(&ticker->telling, &until) == 0;
}

void still_ticker_let_go(struct still_ticker *ticker)
{
	pthread_mutex_unlock(&ticker->telling);
}

/* ---- the stop ------------------------------------------------------------ */

static bool is_cancelled(const struct still_ticker *ticker)
{
	return ticker->task->cancel && atomic_load(ticker->task->cancel);
}

bool still_ticker_stopped(const struct still_ticker *ticker)
{
	return atomic_load(&ticker->stop) || is_cancelled(ticker);
}

void still_ticker_stop(struct still_ticker *ticker)
{
	atomic_store(&ticker->stop, true);
}

int still_ticker_check(
    const struct still_ticker *ticker, struct still_error *err)
{
	if (!is_cancelled(ticker))
		return 0;
	return still_error_set(
	    err, STILL_ERR_CANCELLED, 0, NULL, "it was stopped");
}
