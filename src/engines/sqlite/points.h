/* SPDX-License-Identifier: MIT */
/*
 * points: places of the governor at which a test can stop a thread, and ways in
 * which a test can break it. In the library there are none: only programs that
 * are built with STILL_TEST_POINTS, from the same sources, have them.
 */
#ifndef SQLITE_POINTS_H
#define SQLITE_POINTS_H

struct sqlite_image;

enum sqlite_point {
	SQLITE_POINT_PIN_TAKEN,      /* B is held, A too */
	SQLITE_POINT_FRAMES_SCANNED, /* it is known what must be saved */
	SQLITE_POINT_PAGE_SAVED,     /* one page is written and marked */
	SQLITE_POINT_SWITCH,     /* all are; the readers are to be waited for */
	SQLITE_POINT_RELEASED,   /* A is gone */
	SQLITE_POINT_LOOKED_UP,  /* a reader knows where its bytes are, and has
				   not read them yet */
	SQLITE_POINT_PIECE_READ, /* a piece is read, and not saved yet */
	SQLITE_POINT_COMPLETE,   /* all is saved; the pin still stands */
	SQLITE_POINT_COUNT
};

/* Negative controls: what each breaks must be noticed by the oracle. */
enum sqlite_fault {
	SQLITE_FAULT_NONE,
	SQLITE_FAULT_DROP_PAGE,     /* one page in a thousand is not saved */
	SQLITE_FAULT_RELEASE_FIRST, /* A goes before the pages are saved */
	SQLITE_FAULT_IGNORE_SHRINK, /* pages behind the end are not saved */
	SQLITE_FAULT_NO_DRAIN       /* readers are not waited for */
};

#ifdef STILL_TEST_POINTS
extern void (*sqlite_point_hook)(
    enum sqlite_point point, const struct sqlite_image *image);
extern enum sqlite_fault sqlite_fault;
#	define SQLITE_POINT(point, image)                           \
		do {                                                 \
			if (sqlite_point_hook)                       \
				sqlite_point_hook((point), (image)); \
		} while (0)
#	define SQLITE_FAULT(fault) (sqlite_fault == (fault))
#else
#	define SQLITE_POINT(point, image) ((void) (image))
#	define SQLITE_FAULT(fault) 0
#endif

#endif
