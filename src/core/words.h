/* SPDX-License-Identifier: MIT */
/*
 * words: how states, kinds and outcomes are called, wherever they are told. The
 * others are in still.h.
 */
#ifndef STILL_CORE_WORDS_H
#define STILL_CORE_WORDS_H

#include "still.h"

/* As still_outcome_text(), without the counts: "ABORTED(partial)". Static. */
const char *still_outcome_word(enum still_outcome outcome);

#endif
