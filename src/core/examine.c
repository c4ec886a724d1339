/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/examine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sanitized.h"
#include "core/crew.h"
#include "core/sandbox.h"

#define MEMORY_BYTES (UINT64_C(512) << 20)
#define TEXT_MAX 4096
/* So that a big database at the end keeps few waiting, and yet a thousand small
 * ones do not take a thousand processes. */
#define SLICES 32

enum kind {
	BEGIN = 1,
	SOUND,
	DAMAGED,
	UNCHECKED,
	FAILED
};

struct head {
	uint32_t index;
	uint8_t kind;
	uint8_t code;
	uint16_t len;
};

_Static_assert(sizeof(struct head) == 8, "the records' form");

struct examiner {
	const struct still_examination *examination;
	const char *const *paths;
	size_t n;
	uint32_t next; /* that is begun */
	int out_fd;
};

struct hearing {
	struct examiner *examiner;
	struct still_buf heard; /* of a record that is not whole yet */
	uint32_t next;          /* to be begun */
	bool open;              /* the one before is begun */
	bool over;              /* by a failure */
	bool holds;             /* the ticker */
};

/* ---- the child ----------------------------------------------------------- */

static void put(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		/* Nobody listens. */
		if (n <= 0)
			_exit(1);
		p += n;
		len -= (size_t) n;
	}
}

static void say(
    struct examiner *examiner, enum kind kind, int code, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	struct head head = {
	    .index = kind == BEGIN ? examiner->next : examiner->next - 1,
	    .kind = (uint8_t) kind,
	    .code = (uint8_t) -code,
	    .len = (uint16_t) (len > TEXT_MAX ? TEXT_MAX : len),
	};

	put(examiner->out_fd, &head, sizeof(head));
	if (head.len > 0)
		put(examiner->out_fd, text, head.len);
	if (kind == BEGIN)
		examiner->next++;
}

static void say_begin(void *arg, const char *path)
{
	(void) path;
	say(arg, BEGIN, 0, NULL);
}

static void say_sound(void *arg, const char *path)
{
	(void) path;
	say(arg, SOUND, 0, NULL);
}

static void say_damaged(void *arg, const char *path, const char *text)
{
	(void) path;
	say(arg, DAMAGED, 0, text);
}

static void say_unchecked(void *arg, const char *path, const char *text)
{
	(void) path;
	say(arg, UNCHECKED, 0, text);
}

static int run(void *arg, int dirfd, int out_fd)
{
	struct examiner *examiner = ((struct hearing *) arg)->examiner;
	struct still_error err = STILL_ERROR_INIT;
	struct still_check_request request = {
	    .set_fd = dirfd,
	    .paths = examiner->paths,
	    .n = examiner->n,
	    .begin = say_begin,
	    .sound = say_sound,
	    .damaged = say_damaged,
	    .unchecked = say_unchecked,
	    .arg = examiner,
	};
	int rc;

	examiner->out_fd = out_fd;
	rc = examiner->examination->engine->check_set(&request, &err);
	if (rc < 0)
		say(examiner, FAILED, rc, still_error_msg(&err));
	return rc < 0;
}

/* ---- the parent ---------------------------------------------------------- */

static const char *path_of(const struct hearing *hearing)
{
	return hearing->examiner->paths[hearing->next - 1];
}

/* Does it begin with the database in ticks? */
static bool is_about(const char *text, const char *path)
{
	size_t n = strlen(path);

	return text[0] == '`' && strncmp(text + 1, path, n) == 0 &&
	    strncmp(text + 1 + n, "`: ", 3) == 0;
}

static void tell(
    struct hearing *hearing, enum still_verdict verdict, const char *text)
{
	const struct still_examination *examination =
	    hearing->examiner->examination;
	const struct still_set_database *database = still_set_database(
	    examination->set, path_of(hearing));

	examination->tell(examination->arg, path_of(hearing), verdict, text);
	still_ticker_count(
	    examination->ticker, 1, database ? database->size_bytes : 0);
	hearing->open = false;
}

static void tell_failure(struct hearing *hearing, const char *why)
{
	char *text = NULL;

	if (asprintf(&text, "`%s`: could not be checked: %s", path_of(hearing),
		why) < 0)
		text = NULL;
	tell(hearing, STILL_VERDICT_FAILED, text ? text : "out of memory");
	free(text);
}

static bool begin(struct hearing *hearing, const struct head *head)
{
	const struct examiner *examiner = hearing->examiner;

	if (hearing->open || head->index != hearing->next ||
	    head->index >= examiner->n || head->len > 0)
		return false;
	hearing->next++;
	hearing->open = true;
	still_ticker_file(examiner->examination->ticker, path_of(hearing));
	return true;
}

static bool failure(
    struct hearing *hearing, const struct head *head, const char *text)
{
	size_t skip = 0;

	if (is_about(text, path_of(hearing)))
		skip = strlen(path_of(hearing)) + 4;
	tell_failure(hearing,
	    head->code == -STILL_ERR_NOMEM ? "it takes too much memory"
					   : text + skip);
	hearing->over = true;
	return true;
}

/* One record. False: it breaks a rule. */
static bool hear(
    struct hearing *hearing, const struct head *head, const char *text)
{
	if (hearing->over || strlen(text) != head->len)
		return false;
	if (head->kind == BEGIN)
		return begin(hearing, head);
	if (!hearing->open || head->index != hearing->next - 1)
		return false;
	if (head->kind == FAILED)
		return failure(hearing, head, text);
	if ((head->kind == SOUND) != (head->len == 0) ||
	    (head->len > 0 && !is_about(text, path_of(hearing))))
		return false;
	switch (head->kind) {
	case SOUND:
		tell(hearing, STILL_VERDICT_SOUND, NULL);
		return true;
	case DAMAGED:
		tell(hearing, STILL_VERDICT_DAMAGED, text);
		return true;
	case UNCHECKED:
		tell(hearing, STILL_VERDICT_UNCHECKED, text);
		return true;
	default:
		return false;
	}
}

static bool take(void *arg, const void *data, size_t len)
{
	struct hearing *hearing = arg;
	struct still_buf *heard = &hearing->heard;
	size_t at = 0;

	still_buf_add(heard, data, len);
	if (heard->failed)
		return false;
	while (heard->len - at >= sizeof(struct head)) {
		char text[TEXT_MAX + 1];
		struct head head;

		memcpy(&head, heard->data + at, sizeof(head));
		if (head.len > TEXT_MAX)
			return false;
		if (heard->len - at < sizeof(head) + head.len)
			break;
		memcpy(text, heard->data + at + sizeof(head), head.len);
		text[head.len] = '\0';
		if (!hear(hearing, &head, text))
			return false;
		at += sizeof(head) + head.len;
	}
	memmove(heard->data, heard->data + at, heard->len - at);
	heard->len -= at;
	return true;
}

static void around_fork(void *arg, bool begins)
{
	struct hearing *hearing = arg;
	struct still_ticker *ticker = hearing->examiner->examination->ticker;

	if (begins)
		hearing->holds = still_ticker_hold(ticker);
	else if (hearing->holds)
		still_ticker_let_go(ticker);
}

static bool is_cancelled(void *arg)
{
	const struct hearing *hearing = arg;

	return still_ticker_stopped(hearing->examiner->examination->ticker);
}

/* Its end, where not all was said: what it was at has failed. */
static void judge_end(
    struct hearing *hearing, const struct still_sandbox_end *end)
{
	char why[100];

	if (hearing->over ||
	    (!hearing->open && hearing->next == hearing->examiner->n))
		return;
	if (!hearing->open) {
		hearing->next++;
		hearing->open = true;
	}
	if (end->refused)
		snprintf(why, sizeof(why),
		    "its check says what cannot be understood");
	else if (end->signal)
		snprintf(why, sizeof(why),
		    "its check was killed by signal %d (%s)", end->signal,
		    strsignal(end->signal));
	else
		snprintf(why, sizeof(why), "its check ended with status %d",
		    end->status);
	tell_failure(hearing, why);
}

/* One child, and how far it got. */
static int listen_once(struct examiner *examiner, size_t *ret_done,
    const char **ret_words, struct still_error *err)
{
	struct hearing hearing = {.examiner = examiner};
	struct still_sandbox_job job = {
	    .dirfd = examiner->examination->set->dirfd,
	    .memory_bytes = MEMORY_BYTES,
	    .run = run,
	    .take = take,
	    .arg = &hearing,
	    .around = around_fork,
	    .is_cancelled = is_cancelled,
	};
	struct still_sandbox_end end;
	int rc = still_sandbox_run(&job, &end, err);

	if (rc == 0) {
		judge_end(&hearing, &end);
		*ret_done = hearing.next;
		*ret_words = end.words;
	}
	still_buf_release(&hearing.heard);
	return rc;
}

/* ---- all of them --------------------------------------------------------- */

struct work {
	const struct still_examination *examination;
	size_t n_slices;
	const char *_Atomic words;
};

static int examine_slice(void *arg, size_t i, struct still_error *err)
{
	struct work *work = arg;
	const struct still_examination *examination = work->examination;
	size_t at = i * examination->n / work->n_slices;
	size_t end = (i + 1) * examination->n / work->n_slices;
	int rc = 0;

	while (rc == 0 && at < end) {
		struct examiner examiner = {
		    .examination = examination,
		    .paths = examination->paths + at,
		    .n = end - at,
		};
		const char *words = NULL;
		size_t done = 0;

		rc = listen_once(&examiner, &done, &words, err);
		if (rc == 0)
			atomic_store(&work->words, words);
		at += done;
	}
	return rc;
}

int still_examine(const struct still_examination *examination,
    const char **ret_sandbox, struct still_error *err)
{
	struct work work = {.examination = examination};
	/* Threads beside a fork are more than a sanitizer can bear. */
	unsigned n_threads = STILL_SANITIZED ? 1 : examination->n_threads;
	int rc;

	work.n_slices = examination->n < SLICES ? examination->n : SLICES;
	rc = still_crew_run(examination->ticker, n_threads, work.n_slices,
	    examine_slice, &work, err);
	if (rc == 0)
		*ret_sandbox = atomic_load(&work.words);
	return rc;
}
