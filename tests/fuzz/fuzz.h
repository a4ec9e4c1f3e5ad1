/* SPDX-License-Identifier: MIT */
/*
 * Fuzz - what the targets of this folder share. Each is one file with LLVMFuzzerTestOneInput, built twice:
 *
 *   with replay.c      by any compiler: runs the files of its corpus, as tests/run does (also under the sanitizers)
 *   with libFuzzer     by clang, configure --enable-fuzzing: looks for new ones (tests/fuzz/run)
 *
 * An input that broke something goes into corpus/TARGET and stays there. A target keeps nothing from one input to the next that could
 * change what the next one does.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Always returns 0; what must not be ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test, kept also without assertions: the line is told, and the process aborted. */
#define must(holds) \
	((holds) ? (void)0 : (fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #holds), abort()))

#endif
