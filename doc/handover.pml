/* SPDX-License-Identifier: MIT */
/*
 * handover.pml - the hand-over between jobd and jobd-runner (doc/handover.md) as a Promela model: a chain of NJOBS jobs, each waits for
 * the one before.
 *
 *   spin -a handover.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan -m1000000
 *   spin -DNJOBS=2 -DJCRASH=2 -a handover.pml ...      more of everything
 *   spin -DNOFENCE -a handover.pml ...                 without one of the rules:
 *
 *   NOFENCE      3  the runner takes orders of an older connection
 *   NODEDUP      2  the runner starts what it runs already
 *   NOKILL       7  a new incarnation leaves alive what the old one left
 *   ACKFIRST     5  the runner may forget an end before it is committed
 *   SENDFIRST    1  the order leaves before its intent is committed
 *   FORGETENDS   -  ends of the incarnation before do not count
 *   RELEASEFIRST -  a job starts when what it needs has ended, and not when that end is committed
 *
 * jobd       crash-only: may die between any two steps. A row (st, att, kid) changes only in the steps called commit_, and survives.
 * runner     starts an attempt at most once while it remembers it, remembers an end until it is acknowledged. May die too: what it
 *            ran is an orphan then; the ends it had reaped stand in its ring and are told by the next.
 *
 * Checked: never two live instances of a job; a job that ended and was seen to end never starts again; nothing starts before the end of
 * what it needs is committed; nothing runs that the database does not know; no end is recorded that was not; and every run comes to its
 * end. Comments in the code name these steps, as in "handover.pml: commit_end"; tests/fault/test_handover_model.sh runs all of it.
 */
#ifndef NJOBS
#define NJOBS 1
#endif
#ifndef JCRASH
#define JCRASH 3
#endif
#ifndef RCRASH
#define RCRASH 1
#endif

/* a row: what the database holds of a job */
#define QUEUED  0
#define STARTED 1       /* starting, armed or running: an attempt may exist */
#define DONE    2
byte st[NJOBS], att[NJOBS], kid[NJOBS];

/* the world */
byte live[NJOBS];       /* instances that are alive */
byte finished[NJOBS];   /* instances that ended and were reaped */
byte unseen[NJOBS];     /* instances whose end nobody saw, or that were killed with their runner */

/* the runner's memory */
byte incarnation = 1;
byte runs[NJOBS];       /* the attempt that runs, 0 = none */
byte ended[NJOBS];      /* the attempt whose end is not acknowledged; stands in the ring */
byte orphan[NJOBS];     /* the attempt that a dead runner left alive */
bool up = true;

/* the connection; orders carry its generation */
mtype = { START, ACK };
chan orders = [4] of { byte, mtype, byte, byte };
byte newest, served;

/* jobd's memory of a job */
#define WAITS   0       /* for its intent */
#define ARMED   1       /* the intent is committed */
#define SENT    2
#define ENDED   3       /* the end was received */
#define SETTLED 4       /* and is committed */
#define ACKED   5
#define LOST    6
byte view[NJOBS], known;

byte jcrashes, rcrashes;
bool over = false;

#ifdef RELEASEFIRST
#define NEEDS_MET(i)    (i == 0 || st[i - 1] == DONE || view[i - 1] == ENDED)
#else
#define NEEDS_MET(i)    (i == 0 || st[i - 1] == DONE)
#endif
#ifdef FORGETENDS
#define END_COUNTS(i)   (ended[i] == att[i] && kid[i] == incarnation)
#else
#define END_COUNTS(i)   (ended[i] == att[i])
#endif
#define CONNECTED       (up && served == newest)

inline spawn(i, a)
{
	assert(live[i] == 0);
	assert(finished[i] == 0);
	assert(i == 0 || st[i - 1] == DONE);
	live[i]++;
	runs[i] = a
}

#define EACH_JOB_ENDS(i) \
	:: atomic { live[i] > 0 && runs[i] != 0 -> live[i]--; finished[i]++; ended[i] = runs[i]; runs[i] = 0 } \
	:: atomic { live[i] > 0 && runs[i] == 0 && orphan[i] != 0 -> live[i]--; orphan[i] = 0; unseen[i]++ }

active proctype jobs()
{
end:	do
	EACH_JOB_ENDS(0)
#if NJOBS > 1
	EACH_JOB_ENDS(1)
#endif
	od
}

inline runner_dies()
{
	up = false;
	do :: nempty(orders) -> orders ? g, m, j, a :: empty(orders) -> break od;
	j = 0;
	do
	:: j < NJOBS ->
		if :: runs[j] != 0 -> orphan[j] = runs[j]; runs[j] = 0 :: else fi;
		j++
	:: else -> break
	od
}

/* rule 7: before it answers anybody */
inline runner_starts()
{
	j = 0;
	do
	:: j < NJOBS ->
#ifndef NOKILL
		if :: orphan[j] != 0 -> live[j]--; unseen[j]++ :: else fi;
#endif
		orphan[j] = 0;
		j++
	:: else -> break
	od;
	incarnation++; up = true; served = 0
}

inline take_start()
{
	if
#ifndef NODEDUP
	:: runs[j] == a || ended[j] == a        /* rule 2 */
	:: else -> spawn(j, a)
#else
	:: true -> spawn(j, a)
#endif
	fi
}

active proctype runner()
{
	byte g, j, a;
	mtype m;
end:	do
	:: atomic { up && nempty(orders) -> orders ? g, m, j, a;
		if
#ifndef NOFENCE
		:: g != served                  /* rule 3 */
		:: g == served && m == START -> take_start()
#else
		:: m == START -> take_start()
#endif
		:: g == served && m == ACK ->
			if :: ended[j] == a -> ended[j] = 0 :: else fi
#ifdef NOFENCE
		:: g != served && m == ACK
#endif
		fi }
	:: atomic { up && rcrashes < RCRASH && !over -> rcrashes++; runner_dies() }
	:: atomic { !up -> runner_starts() }
	od
}

/* recover: from the row and the inventory alone (rule 4) */
inline recover(i)
{
	assert(st[i] != QUEUED || (runs[i] == 0 && ended[i] == 0));     /* rule 1: nothing runs that the row does not know */
	if
	:: st[i] == DONE && ended[i] == att[i] -> view[i] = SETTLED
	:: st[i] == DONE && ended[i] != att[i] -> view[i] = ACKED
	:: st[i] == QUEUED -> view[i] = WAITS
	:: st[i] == STARTED && END_COUNTS(i) -> view[i] = ENDED
	:: st[i] == STARTED && !END_COUNTS(i) && runs[i] == att[i] -> view[i] = SENT
	:: st[i] == STARTED && !END_COUNTS(i) && runs[i] != att[i] && kid[i] == incarnation -> view[i] = ARMED
	:: st[i] == STARTED && !END_COUNTS(i) && runs[i] != att[i] && kid[i] != incarnation -> view[i] = LOST
	fi
}

#ifdef SENDFIRST
#define INTENT(i) \
	:: atomic { view[i] == WAITS && NEEDS_MET(i) && CONNECTED && nfull(orders) -> orders ! newest, START, i, att[i] + 1; view[i] = ARMED } \
	:: atomic { view[i] == ARMED && st[i] == QUEUED -> st[i] = STARTED; att[i]++; kid[i] = known; view[i] = SENT } \
	:: atomic { view[i] == ARMED && st[i] == STARTED -> view[i] = LOST }
#else
#define INTENT(i) \
	/* commit_intent */ \
	:: atomic { view[i] == WAITS -> st[i] = STARTED; att[i]++; kid[i] = known; view[i] = ARMED } \
	/* send_start */ \
	:: atomic { view[i] == ARMED && NEEDS_MET(i) && CONNECTED && nfull(orders) -> orders ! newest, START, i, att[i]; view[i] = SENT }
#endif
#ifdef ACKFIRST
#define FINISH(i) \
	:: atomic { view[i] == ENDED && CONNECTED && nfull(orders) -> orders ! newest, ACK, i, att[i]; view[i] = SETTLED } \
	:: atomic { view[i] == SETTLED -> assert(finished[i] > 0); st[i] = DONE; view[i] = ACKED }
#else
#define FINISH(i) \
	/* commit_end */ \
	:: atomic { view[i] == ENDED -> assert(finished[i] > 0); st[i] = DONE; view[i] = SETTLED } \
	/* send_ack */ \
	:: atomic { view[i] == SETTLED && CONNECTED && nfull(orders) -> orders ! newest, ACK, i, att[i]; view[i] = ACKED }
#endif
#define EACH_JOB(i) \
	INTENT(i) \
	/* receive_end */ \
	:: atomic { view[i] == SENT && CONNECTED && ended[i] == att[i] -> view[i] = ENDED } \
	FINISH(i) \
	/* commit_lost */ \
	:: atomic { view[i] == LOST -> st[i] = QUEUED; view[i] = WAITS }

active proctype jobd()
{
hello:	atomic { up -> newest++; served = newest; known = incarnation;
		recover(0);
#if NJOBS > 1
		recover(1);
#endif
	}
	do
	EACH_JOB(0)
#if NJOBS > 1
	EACH_JOB(1)
#endif
	:: !CONNECTED -> goto hello
	:: jcrashes < JCRASH -> jcrashes++; goto hello
	:: atomic { st[NJOBS - 1] == DONE && empty(orders) && CONNECTED -> over = true; break }
	od
}

/* The end: everything is recorded. Where jobd cannot go on, pan reports an invalid end state. */
