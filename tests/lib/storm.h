/* SPDX-License-Identifier: MIT */
/*
 * storm: the processes of an application, one for each role. Every fraction of
 * a second one of them dies by SIGKILL and is started anew, except those that
 * must be left alone.
 */
#ifndef TESTS_LIB_STORM_H
#define TESTS_LIB_STORM_H

#include <stdbool.h>
#include <stddef.h>

struct storm_role {
	const char *name;
	/* Plays until it is killed or, if it is left alone, for as long as
	 * storm_goes_on(). */
	void (*play)(const char *dir, unsigned int arg);
	unsigned int arg;
	bool left_alone;
};

/* Until stdin ends. An exit status: a process that ends by itself met an
 * error, and said so. */
int storm_run(const char *dir, const struct storm_role *roles, size_t n);

bool storm_goes_on(void);

#endif
