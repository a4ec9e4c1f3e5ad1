/* SPDX-License-Identifier: MIT */
/*
 * Failpoint - places with a name at which a test kills, stops, delays or fails the process; and mutants, mistakes that a test must find.
 * Only where JOBD_FAILPOINTS is defined (./configure --enable-failpoints, and the programs of the fault tests). Else both are constants: no
 * code, no string.
 *
 *   JOBD_FP       rules, separated by ';'            before_commit:kill:0.004;before_send_runner:delay=50ms;before_spawn:error=EAGAIN:n=3
 *       rule      NAME:ACTION[:WHEN]                 NAME may be a shell pattern. Of several rules for a place the last one counts.
 *       ACTION    kill         SIGKILL to this process
 *                 stop         SIGSTOP to this process; it goes on when it is continued
 *                 delay=TIME   the calling thread waits: 50ms, 2s
 *                 error[=E]    the call fails as it might, with errno E (EIO), where the place has an error to give
 *                 log          nothing else
 *       WHEN      0.004        with this probability, at each pass
 *                 n=3          at the third pass alone
 *                              without: at each pass
 *   JOBD_FP_SEED  a number. Whether the k-th pass of a place acts depends on the seed, its name and k alone.
 *   JOBD_FP_LOG   a file or FIFO to which a line `PROGRAM PID NAME ACTION PASS` is appended before each action. It survives a kill.
 *   JOBD_MUTANT   the name of a mutant
 *
 * jobd and jobd-runner share their environment: what is no name of a program is passed over. `PROGRAM --list-failpoints` prints the names of
 * its places, --list-mutants those of its mutants; the lists are made by the places themselves.
 */
#ifndef FAILPOINT_H
#define FAILPOINT_H

#include <stdbool.h>

#ifdef JOBD_FAILPOINTS
#include <stdatomic.h>
#include <stdint.h>

enum failpoint_action { FAILPOINT_NOTHING, FAILPOINT_KILL, FAILPOINT_STOP, FAILPOINT_DELAY, FAILPOINT_ERROR, FAILPOINT_LOG };

struct failpoint {
	const char *name;
	enum failpoint_kind { A_FAILPOINT, A_CALL, A_MUTANT } kind;
	/* filled in by failpoints_init, before there are threads */
	enum failpoint_action action;
	double probability;
	uint64_t at_pass;               /* 0: at any */
	long delay_ms;
	int code;                       /* errno */
	atomic_uint_fast64_t passes;
};

/* failpoint_pass - do what the rules say of this pass. Returns whether the call is to fail, with errno. */
bool failpoint_pass(struct failpoint *fp);
/* failpoint_is_on - whether this mutant was asked for. */
bool failpoint_is_on(const struct failpoint *mutant);
/* failpoints_init - read the environment; --list-failpoints and --list-mutants end the process, and so does a rule that makes no sense. */
void failpoints_init(int argc, char **argv);

/* A pointer to each place lies in a section of their own, which is the list. */
#define FAILPOINT_HERE(text, what) __extension__ ({ \
	static struct failpoint here_ = { .name = (text), .kind = (what) }; \
	static struct failpoint *const listed_ __attribute__((used, section("failpoints"))) = &here_; \
	(void)listed_; \
	&here_; })
/* FAILPOINT - a place where nothing can fail. */
#define FAILPOINT(name) ((void)failpoint_pass(FAILPOINT_HERE(name, A_FAILPOINT)))
/* FAILS - a place in front of a call; true: the call is to be left out, and has failed with errno. */
#define FAILS(name) failpoint_pass(FAILPOINT_HERE(name, A_CALL))
#define MUTANT(name) failpoint_is_on(FAILPOINT_HERE(name, A_MUTANT))
#else
#define FAILPOINT(name) ((void)0)
#define FAILS(name) false
#define MUTANT(name) false
#define failpoints_init(argc, argv) ((void)(argc), (void)(argv))
#endif

#endif
