/* SPDX-License-Identifier: MIT */
/*
 * source: where the bytes of a snapshot's file come from.
 */
#ifndef STILL_CORE_SOURCE_H
#define STILL_CORE_SOURCE_H

#include <stdint.h>

enum still_source_kind {
	STILL_SOURCE_NONE,   /* a directory */
	STILL_SOURCE_MEMORY, /* text made by the core, whole at the freeze */
	STILL_SOURCE_ENGINE, /* the engine's read */
	STILL_SOURCE_SEAL,   /* text made by the closing pass */
	STILL_SOURCE_CLOSING /* likewise, by the engine */
};

struct still_source {
	enum still_source_kind kind;
	char *memory; /* MEMORY: owned; size_bytes of the entry long */
	void *object; /* ENGINE, CLOSING: the engine's, valid until thaw */
	uint32_t page_bytes; /* of the pages whose sums are wanted; 0: none */
};

#endif
