/* SPDX-License-Identifier: MIT */
#ifndef SPEC_HASH_H
#define SPEC_HASH_H

#include "proto/spec.h"

/* spec_hash_env - adds what job->env says, in any order. */
void spec_hash_env(const struct spec_job *job, struct spec_hash *h);

#endif
