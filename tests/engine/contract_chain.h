/* SPDX-License-Identifier: MIT */
/*
 * contract_chain: what engine.h promises of sessions that build on one another,
 * asked of every engine that has them, through the core, which makes the base.
 */
#ifndef TESTS_ENGINE_CONTRACT_CHAIN_H
#define TESTS_ENGINE_CONTRACT_CHAIN_H

#include "tests/engine/fixture.h"

/* A full set and links, applied one after the other, are what the source was. */
void contract_builds_on(struct source *source);

/* What may be released is told, and released; and the chain goes on. */
void contract_truncates(struct source *source);

#endif
