/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_UNIT_H
#define BROKER_POLICY_UNIT_H

/*
 * Patterns of names of systemd's units, by fnmatch(3) with FNM_NOESCAPE. Returns why WORD can never fit a unit that has
 * processes, as a constant that the word, quoted, completes to a sentence; NULL: the word can fit.
 */
const char *policy_unit_mistake(const char *word);

#endif
