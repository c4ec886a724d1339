/* SPDX-License-Identifier: MIT */
/*
 * error: how every function of the house fails.
 *
 * A function that can fail returns 0 or one of the negative codes below and,
 * where it takes a `struct still_error *err`, leaves the detail there. The
 * object belongs to the caller; the library neither prints it nor exits.
 *
 * A message begins with the object that failed, in ticks where it is a name,
 * is lowercase and has no full stop. A hint is a whole sentence that says what
 * to do next, or NULL.
 *
 * Threads: an error object belongs to one thread at a time.
 */
#ifndef STILL_BASE_ERROR_H
#define STILL_BASE_ERROR_H

enum still_err_code {
	STILL_ERR_FAILED = -1,      /* anything that has no code of its own */
	STILL_ERR_NOTFOUND = -2,    /* the named thing does not exist */
	STILL_ERR_INVALID = -3,     /* the caller asked for nonsense */
	STILL_ERR_BUSY = -4,        /* somebody else holds it */
	STILL_ERR_AGAIN = -5,       /* not now; the same call may work later */
	STILL_ERR_ACCESS = -6,      /* permission is missing */
	STILL_ERR_CORRUPT = -7,     /* bytes that fail their check */
	STILL_ERR_LOST = -8,        /* the snapshot is no longer protected */
	STILL_ERR_UNSUPPORTED = -9, /* real, but stillfs does not do it */
	STILL_ERR_IO = -10,         /* the system failed to read or write */
	STILL_ERR_NOMEM = -11,      /* out of memory */
	STILL_ERR_CANCELLED = -12,  /* the caller's stop flag was raised */
	STILL_ERR_STALE = -13,      /* it belongs to a session that is over */
	STILL_ERR_NOSPACE = -14,    /* a disk is full */
	STILL_ERR_PROTO = -15,      /* there is nothing to do this to */
	STILL_ERR_BASE = -16,       /* there is nothing to build on: a full
				       session is needed first */
	STILL_ERR_ABSENT = -17,     /* nothing answers there: a server that does
				       not run; the same call may work later */
	STILL_ERR_STOPPING = -18,   /* it is about to end; likewise */
};

struct still_error {
	int code;      /* enum still_err_code, 0 while nothing failed */
	int sys_errno; /* errno behind it, 0 where there is none */
	char *msg;     /* owned; NULL when memory ran out */
	char *hint;    /* owned; NULL where there is nothing to advise */
};

#define STILL_ERROR_INIT   \
	{                  \
		0, 0, 0, 0 \
	}

/*
 * Replace the content of `err` (which may be NULL) and return `code`, so that
 * a caller can write `return still_error_set(...)`. `hint` may be NULL.
 */
int still_error_set(struct still_error *err, int code, int sys_errno,
    const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* As above for a failed system call: appends ": " and the text of the errno,
 * and chooses the code from it. */
int still_error_sys(struct still_error *err, int sys_errno, const char *hint,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Out of memory: needs none to be said. Returns STILL_ERR_NOMEM. */
int still_error_nomem(struct still_error *err);

/* The message, never NULL. Borrowed: valid until `err` changes. */
const char *still_error_msg(const struct still_error *err);

/* Release what `err` owns and make it empty again. Accepts NULL. */
void still_error_clear(struct still_error *err);

/* Copy `from` into `to` (whose old content is released). */
void still_error_copy(struct still_error *to, const struct still_error *from);

/* A stable lowercase word for a code: "corrupt", "busy" ... Static. */
const char *still_error_word(int code);

/* The errno that stands for a code, the same everywhere: what a request in a mount
 * gets for it. Pure. */
int still_error_errno(int code);

#endif
