/* SPDX-License-Identifier: MIT */
/*
 * Submission - jobs on their way to the daemon. What is small goes as one Submit. What is more than a packet (about 128 KiB) goes as
 * Open, Adds that are packed and kept in flight, and Seal. Memory is constant: the packets in flight.
 *
 *   submission_init, submission_job x n, submission_end, submission_done
 *
 * After an error (a status other than 0, complained about) only submission_done may follow.
 */
#ifndef SUBMISSION_H
#define SUBMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "proto/varlink.h"
#include "source.h"

enum submission_mode {
	SUBMISSION_WHOLE,       /* a run that is sealed at the end */
	SUBMISSION_STREAM,      /* a new run that stays open */
	SUBMISSION_ADD,         /* into a run that is open */
};

#define SUBMISSION_IN_FLIGHT 8

struct packet {
	struct buf text;        /* room for the head of the call, then the jobs, separated by commas */
	size_t n_jobs;
	struct place *places;   /* of each job */
	size_t cap;
};

struct submission {
	struct vl_conn *conn;
	const struct source *src;       /* borrowed: to say where a job stands */
	enum submission_mode mode;
	json_t *run_options;            /* borrowed from src */
	struct packet packets[SUBMISSION_IN_FLIGHT + 1];
	size_t head, n_sent;            /* packets[head] is being filled; n_sent before it are in flight */
	int64_t run;                    /* 0: not opened yet */
	bool existing;                  /* the key was known, with the same content */
	uint64_t n_added;               /* acknowledged */
};

/* src: whose run options are sent, and which is asked where a refused job stands. run: the number for SUBMISSION_ADD, else 0. */
void submission_init(struct submission *s, struct vl_conn *conn, enum submission_mode mode, struct source *src, int64_t run);
void submission_done(struct submission *s);

int submission_job(struct submission *s, const struct source_job *job);
/* submission_flush - send what has been collected and wait until it is acknowledged: for streams that pause. */
int submission_flush(struct submission *s);
/* submission_end - send the rest; at 0 everything is durable, and s->run is the number. */
int submission_end(struct submission *s);

#endif
