/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/governor.h"

#include <stdlib.h>

#include "base/sys.h"
#include "engines/sqlite/governor_thread.h"

#define OPEN_BUSY_MS 20

/* ---- start and stop ------------------------------------------------------ */

/* It was asked for, and yet. */
static void warn_of_assist(const struct sqlite_governor *governor)
{
	if (governor->options.assist && governor->n > 0 &&
	    governor->options.pin != STILL_PIN_HOLD && sqlite_assist_is_risky())
		governor->observer.warn(governor->observer.arg, "assist-risk",
		    governor->watches[0].image->rel,
		    "stillfs checkpoints this database, and others of the "
		    "source, with a SQLite that may lose a log which two "
		    "connections checkpoint at once (mended in 3.51.3)");
}

/* The completion's thread. */
static void note_copied(void *arg, struct sqlite_image *image)
{
	struct sqlite_governor *governor = arg;

	for (size_t i = 0; i < governor->n; i++)
		if (governor->watches[i].image == image)
			atomic_store(&governor->watches[i].copied, true);
	still_bell_ring(&governor->bell);
}

static int watch_all(struct sqlite_governor *governor, struct still_error *err)
{
	const struct sqlite_governor_request *request = &governor->request;
	int64_t now_ns = still_sys_monotonic_ns();

	governor->watches = calloc(
	    request->n_images, sizeof(*governor->watches));
	governor->to_copy = calloc(
	    request->n_images, sizeof(struct sqlite_image *));
	if (!governor->watches || !governor->to_copy)
		return still_error_nomem(err);
	for (size_t i = 0; i < request->n_images; i++) {
		struct sqlite_image *image = &request->images[i];
		struct sqlite_watch *watch = &governor->watches[governor->n];

		if (!sqlite_image_is_pinned(image))
			continue;
		/* The freeze's own flag is gone by now. */
		image->pin.target.cancel = &governor->stop;
		image->pin.target.busy_ms = OPEN_BUSY_MS;
		watch->image = image;
		watch->avoid = -1;
		atomic_init(&watch->copied, false);
		atomic_init(&watch->unread, false);
		atomic_init(&watch->stands_ns, now_ns);
		governor->n++;
		if (!image->link)
			governor->to_copy[governor->n_to_copy++] = image;
	}
	governor->n_pinned = (uint32_t) governor->n;
	governor->begun_ns = now_ns;
	return 0;
}

static int begin_completion(
    struct sqlite_governor *governor, struct still_error *err)
{
	struct sqlite_completion *completion = &governor->completion;
	int rc;

	if (governor->options.pin != STILL_PIN_AUTO || governor->n_to_copy == 0)
		return 0;
	completion->images = governor->to_copy;
	completion->n = governor->n_to_copy;
	completion->observer = &governor->observer;
	completion->log_limit_bytes = governor->options.log_limit_bytes;
	completion->grown_bytes = &governor->grown_bytes;
	completion->cancel = governor->request.cancel;
	completion->done = note_copied;
	completion->arg = governor;
	rc = sqlite_completion_start(completion, err);
	governor->completing = rc == 0;
	return rc;
}

static struct sqlite_governor *new_governor(
    const struct sqlite_governor_request *request)
{
	struct sqlite_governor *governor = calloc(1, sizeof(*governor));

	if (!governor)
		return NULL;
	governor->request = *request;
	governor->options = *request->options;
	governor->observer = *request->observer;
	atomic_init(&governor->stop, false);
	atomic_init(&governor->grown_bytes, 0);
	pthread_mutex_init(&governor->lock, NULL);
	still_bell_init(&governor->bell);
	return governor;
}

static int begin_thread(
    struct sqlite_governor *governor, struct still_error *err)
{
	int rc = still_sys_thread_start(
	    &governor->thread, sqlite_governor_run, governor);

	return rc == 0
	    ? 0
	    : still_error_sys(err, rc, NULL, "a thread that moves pins on");
}

static void free_governor(struct sqlite_governor *governor)
{
	for (size_t i = 0; i < governor->n; i++) {
		free(governor->watches[i].complaint);
		sqlite_assist_end(&governor->watches[i].assist);
	}
	free(governor->watches);
	free(governor->to_copy);
	still_error_clear(&governor->lost);
	still_bell_release(&governor->bell);
	pthread_mutex_destroy(&governor->lock);
	free(governor);
}

int sqlite_governor_start(const struct sqlite_governor_request *request,
    struct sqlite_governor **ret, struct still_error *err)
{
	struct sqlite_governor *governor = new_governor(request);
	int rc;

	if (!governor)
		return still_error_nomem(err);
	rc = watch_all(governor, err);
	if (rc == 0)
		rc = begin_thread(governor, err);
	if (rc < 0) {
		free_governor(governor);
		return rc;
	}
	rc = begin_completion(governor, err);
	if (rc < 0) {
		sqlite_governor_stop(governor);
		return rc;
	}
	warn_of_assist(governor);
	*ret = governor;
	return 0;
}

void sqlite_governor_stop(struct sqlite_governor *governor)
{
	if (!governor)
		return;
	if (governor->completing)
		sqlite_completion_stop(&governor->completion);
	atomic_store(&governor->stop, true);
	still_bell_ring(&governor->bell);
	pthread_join(governor->thread, NULL);
	free_governor(governor);
}

int sqlite_governor_let_go(struct sqlite_governor *governor,
    struct sqlite_image *image, struct still_error *err)
{
	struct still_error why = STILL_ERROR_INIT;
	uint64_t log_bytes;
	int rc = 0;

	pthread_mutex_lock(&governor->lock);
	if (governor->lost.code) {
		still_error_copy(&why, &governor->lost);
		rc = why.code;
	} else if (!image->released) {
		rc = sqlite_pin_check(
		    &image->pin, governor->request.root_fd, &log_bytes, &why);
	}
	for (size_t i = 0; rc == 0 && i < governor->n; i++)
		if (governor->watches[i].image == image)
			atomic_store(&governor->watches[i].unread, true);
	pthread_mutex_unlock(&governor->lock);
	if (rc == 0) {
		note_copied(governor, image);
		return 0;
	}
	sqlite_governor_lose(governor, &why);
	if (err)
		still_error_copy(err, &why);
	still_error_clear(&why);
	return rc;
}

/* ---- what is told -------------------------------------------------------- */

static void add_watch(
    const struct sqlite_watch *watch, int64_t now_ns, struct still_held *held)
{
	int64_t age_ns = now_ns - atomic_load(&watch->stands_ns);

	/* One that stands at the newest commit is as good as new. */
	if (age_ns < 1)
		age_ns = 1;
	if (age_ns > held->pin_ns)
		held->pin_ns = age_ns;
}

/* Under the lock. */
static int check_watch(struct sqlite_governor *governor,
    struct sqlite_watch *watch, struct still_held *held,
    struct still_error *err)
{
	const struct sqlite_pin *pin = &watch->image->pin;
	uint64_t log_bytes;
	int rc;

	if (watch->image->released)
		return 0;
	rc = sqlite_pin_check(pin, governor->request.root_fd, &log_bytes, err);
	if (rc < 0)
		return rc;
	if (!sqlite_hold_lets_restart(&pin->hold))
		held->log_bytes += log_bytes;
	held->spool_full |= watch->no_space;
	add_watch(watch, still_sys_monotonic_ns(), held);
	return 0;
}

static void tell_copies(
    const struct sqlite_governor *governor, struct still_held *held)
{
	const struct sqlite_completion *completion = &governor->completion;

	if (!governor->completing)
		return;
	held->copy_bytes = completion->total_bytes;
	held->copied_bytes = atomic_load(&completion->copied_bytes);
	held->spool_full |= atomic_load(&completion->full);
}

int sqlite_governor_keep(struct sqlite_governor *governor,
    struct still_held *ret_held, struct still_error *err)
{
	struct still_error why = STILL_ERROR_INIT;
	struct still_held held = {0};
	int rc = 0;

	pthread_mutex_lock(&governor->lock);
	if (governor->lost.code) {
		still_error_copy(&why, &governor->lost);
		rc = why.code;
	}
	for (size_t i = 0; rc == 0 && i < governor->n; i++)
		rc = check_watch(governor, &governor->watches[i], &held, &why);
	held.n_pinned = governor->n_pinned;
	held.n_moves = governor->n_moves;
	held.n_let_by = governor->n_let_by;
	pthread_mutex_unlock(&governor->lock);
	if (rc < 0) {
		sqlite_governor_lose(governor, &why);
		if (err)
			still_error_copy(err, &why);
		still_error_clear(&why);
		return rc;
	}
	tell_copies(governor, &held);
	*ret_held = held;
	return 0;
}
