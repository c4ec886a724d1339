/* SPDX-License-Identifier: MIT */
/*
 * sandbox: run a function over files that nobody should trust, in a process that
 * can do nothing but read them.
 *
 * The child may open files below one directory for reading, and write to one
 * pipe. What it says there is as little trusted as the files: the parent reads
 * it as bytes, of which it takes what it understands.
 *
 *	landlock   no file outside the directory, none for writing (where the
 *	           kernel has it)
 *	network    a network of its own, with nothing in it (where that is
 *	           permitted)
 *	seccomp    a list of the system calls that are allowed: no socket, no
 *	           other program, no other process, no opening for writing, no
 *	           memory that is code. Without it nothing is run: UNSUPPORTED.
 *	limits     memory, descriptors, processes, no file, no core; no
 *	           capability but to read
 *
 * It has its own copy of the memory, takes no descriptor with it, prints
 * nothing, and runs nothing that was registered for the end. It dies with the
 * thread that started it, or when it is not wanted any more.
 *
 * Threads: any, several at once. The child has no other thread, and so must not
 * need a lock that another may have held at that moment; the C library's own are
 * taken care of.
 */
#ifndef STILL_CORE_SANDBOX_H
#define STILL_CORE_SANDBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* In the child: its working directory is the one that it may read, which is also
 * open as `dirfd`; `out_fd` is the pipe. Returns an exit status. */
typedef int still_sandbox_fn(void *arg, int dirfd, int out_fd);

/* In the parent: what came through the pipe. False: it is not to be understood,
 * and the child is killed. */
typedef bool still_sandbox_take_fn(void *arg, const void *data, size_t len);

struct still_sandbox_job {
	int dirfd; /* the directory */
	/* For what the child takes beyond what the parent has; 0: no limit. */
	uint64_t memory_bytes;
	still_sandbox_fn *run;
	still_sandbox_take_fn *take;
	void *arg;
	/* Called around the fork: others should have no lock then that the
	 * child may need. NULL: nobody has. */
	void (*around)(void *arg, bool begins);
	/* Asked a few times a second: kill it? */
	bool (*is_cancelled)(void *arg);
};

struct still_sandbox_end {
	/* "landlock+network+seccomp+limits": what of these it had. Static. */
	const char *words;
	int status;   /* that it ended with; -1: by a signal */
	int signal;   /* by which; 0: none */
	bool refused; /* by `take` */
};

/*
 * Run it and wait for its end, whatever that is: 0, and `*ret`. CANCELLED;
 * UNSUPPORTED (the child could not be confined, and has run nothing); NOMEM, IO.
 */
int still_sandbox_run(const struct still_sandbox_job *job,
    struct still_sandbox_end *ret, struct still_error *err);

/* Confine this process for good, as the child does. 0, or the errno, and in
 * `*ret_step` what failed. Static. */
int still_sandbox_confine(int dirfd, int out_fd, uint64_t memory_bytes,
    bool *ret_landlock, bool *ret_network, const char **ret_step);

#endif
