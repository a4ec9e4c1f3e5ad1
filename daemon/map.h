/* SPDX-License-Identifier: MIT */
/*
 * Map - a run whose jobs are places for items of a stream: one that has been delivered frees its place, and the next one is put into it. So
 * memory and database are bounded by the window, whatever the length of the stream.
 *
 *   map.c         the struct: places, items by tag and by key, numbers of slots     map_client.c  the connection that has the map: what it is told
 *   map_items.c   items come, end, are delivered, are stopped                       map_read.c    their outputs, piece by piece
 *   map_open.c    a map begins, goes on, comes back after a restart                 map_input.c   standard inputs that are large
 *   map_launch.c  a place becomes a START                                           map_ends.c    how ends are told
 *   rpc_map.c     the methods
 *
 * An item of the client that is there:
 *
 *   (put) -> ASKED --not known--> PUT --end is durable--> ENDED --delivered--> gone
 *              |                                            ^
 *              +--known to the store--> KNOWN --delivered--> gone
 *
 * ASKED only where an earlier client may have had it. When a client goes, what it put stays (a named map) and is nobody's until a put of the
 * same key claims it under a tag of the new client.
 */
#ifndef MAP_H
#define MAP_H

#include "engine.h"
#include "map_ends.h"

enum item_state { ITEM_ASKED, ITEM_PUT, ITEM_ENDED, ITEM_KNOWN };
enum item_input { INPUT_NONE, INPUT_TOLD, INPUT_PLACED };      /* whether it has a file for its standard input, and under which name */

struct reader;

struct map_item {
	struct map *map;
	uint64_t tag, seq;
	enum item_state state;
	uint64_t id;                    /* PUT, ENDED: of the job that is its place; KNOWN: that was */
	uint32_t base, last;            /* its attempts are base + 1 .. last */
	bool claimed;                   /* the client that is there has put it */
	bool stored;                    /* there is a record of it */
	bool cancelled, failed;         /* ENDED */
	bool is_fileless;               /* ENDED: what it wrote is in its record; else it may be */
	bool read_live;                 /* what the attempt that runs wrote has been given away: another one would be other bytes */
	bool is_untold, is_asking;
	struct spec_item_key key;
	enum item_input input;
	uint64_t input_tag;             /* TOLD: under which tag */
	char *text;                     /* ASKED: its specification */
	size_t text_len;
	int64_t spec_bytes;             /* PUT: what its user is charged */
	int64_t ended_at_us;
	int64_t bytes;                  /* of its outputs, since it has ended */
	struct reader *reader[2];       /* of stdout, of stderr; NULL: nobody reads */
	struct map_item *by_tag, *by_key;       /* chains */
	TAILQ_ENTRY(map_item) link;     /* in items, smallest tag first, or in others */
	TAILQ_ENTRY(map_item) untold;
};
TAILQ_HEAD(item_list, map_item);

struct map {
	struct run *run;
	const struct spec_map *set;     /* of run->spec */
	struct jt_template *template;
	char *shell;                    /* --shell: the text, which takes the place of its third word; NULL */

	struct map_item **place;        /* by job; NULL: free */
	size_t n_places;
	jt_job *free_place;
	size_t n_free_places;
	uint8_t *slot_taken;            /* by number - 1, slots_cap of them: 1 */
	uint32_t slots_cap;             /* the most slots it has had */
	uint32_t n_unknown_slots;       /* that run since before a restart: nothing starts that might be told the same number */

	struct map_item **tags, **keys; /* hash tables */
	size_t mask;
	struct item_list items;         /* claimed */
	struct item_list others;        /* of an earlier client */
	uint32_t n_items, n_others;
	uint32_t n_unended;             /* PUT, of anybody */
	uint64_t next_tag;              /* above all that there were */
	int64_t undelivered;            /* bytes of those */

	struct { uint64_t tag; int fd; int64_t bytes; } input;  /* of the item that is put next; tag 0: none */

	struct call *call;              /* the Map; NULL: nobody has it */
	uint64_t n_clients;             /* that had it */
	bool greeted;
	bool resumed, rerun_failed;     /* the client that is there came to go on: keys are looked up */
	bool drains;                    /* call_on_drain is set */
	bool has_news;                  /* in engine->map_news */
	uint32_t n_asking;              /* queries of ends under way */
	struct map_ends ends;           /* gathered in this turn */
	struct item_list untold;        /* have ended: their record is read when the client has room */
	LIST_HEAD(, reader) readers;
	struct event *nobody;           /* after a start: nobody came back */
	bool stopped, ending;           /* ending: the run ends when nothing is unended */
	enum run_state ends_as;
	uint64_t n_put, n_ended, n_failed, n_delivered; /* since this jobd has it */
	TAILQ_ENTRY(map) news;
	LIST_ENTRY(map) entry;          /* in engine->maps */
};

/* ---- map.c ----------------------------------------------------------------------------------------------------- */
/* map_new - r->map, as r->spec->map says. 0, or -1 with *err. */
int map_new(struct run *r, struct req_error *err);
/* map_settings_changed - r->spec is another one: the template and the slots follow. 0, or -1 with *err: then nothing has changed. */
int map_settings_changed(struct map *m, const struct spec_run *spec, struct req_error *err);
void map_free(struct map *m);                           /* NULL is fine; r->map becomes NULL */
struct map_item *map_find(const struct map *m, uint64_t tag);
struct map_item *map_find_key(const struct map *m, const uint8_t key[16]);      /* of the others */
struct map_item *map_item_at(const struct map *m, jt_job place);
struct map_item *map_item_new(struct map *m, uint64_t tag, uint64_t seq, const struct spec_item_key *key);
void map_item_free(struct map_item *it);                /* its place becomes free */
void map_item_claim(struct map_item *it, uint64_t tag, uint64_t seq);
void map_item_disclaim(struct map_item *it);
jt_job map_place_take(struct map *m);                   /* waiting in the scheduler */
void map_place_set(struct map_item *it, jt_job place);
void map_place_free(struct map *m, jt_job place);        /* nothing is in it */
bool map_is_named(const struct map *m);
void map_slots_make(struct map *m, uint32_t n);         /* room for numbers up to n */

/* ---- map_launch.c: for launch.c and slots.c --------------------------------------------------------------------- */
/* map_argv - NULL-terminated, one piece of memory to be freed. NULL: an item has a NUL in it, which no argument can hold. */
char **map_argv(struct active *a);
void map_slot_take(struct active *a);                   /* a->slot, if it has none */
#define SLOT_UNKNOWN UINT32_MAX
void map_slot_give(struct active *a);
void map_slot_note(const struct active *a);             /* so that another jobd can find it: it has started */
/* map_slot_adopt - it runs since before a restart. pid 0: the runner has not yet told it; then once more when it has. */
void map_slot_adopt(struct active *a, int32_t pid);
/* map_may_start - j, which is next, or the one that may start instead; JT_NONE: too much waits to be delivered. */
jt_job map_may_start(struct map *m, jt_job j);
json_t *map_held_text(const struct map *m, const char *path);     /* why the item in `path` may not, for people */
bool map_is_last_attempt(const struct map_item *it);    /* whatever it comes to, there is no further one */

/* ---- map_items.c ------------------------------------------------------------------------------------------------ */
/* map_put, map_delivered - what the client says. 0, or -1 with *err: its mistake. */
int map_put(struct map *m, const json_t *items, struct req_error *err);
int map_delivered(struct map *m, const json_t *tags, struct req_error *err);
void map_stop(struct map *m, bool now);                 /* everything that has not ended ends */
void map_item_begin(struct map_item *it, const char *text, size_t len);
void map_item_ending(struct active *a, const struct store_attempt *at);  /* for good; its record is posted */
void map_item_ended(struct run *r, struct store_op *op);        /* the record of an end is durable: of ST_END or ST_JOB_STATE */
void map_item_started(struct active *a);
void map_item_adopted(struct active *a);
void map_item_weigh(struct map_item *it, const struct store_attempt *at);        /* how much of it there is to deliver */
void map_item_forget(struct map_item *it);              /* with its record */
void map_item_again(struct map_item *it);               /* KNOWN: it failed, and is to run once more */
/* map_end - the run ends so, when nothing of it is unended. */
void map_end(struct map *m, enum run_state as);
void map_check_end(struct map *m);
bool map_hurries(const struct map *m);                  /* the client is about to run dry: an end is committed at once */

/* ---- map_input.c ------------------------------------------------------------------------------------------------- */
/* map_input - a part of a standard input, as the client says it. 0, or -1 with *err: its mistake, or no room. */
int map_input(struct map *m, uint64_t tag, int64_t offset, const char *data, size_t n, struct req_error *err);
void map_input_drop(struct map *m);                     /* what was told and not put; none is fine */
int map_input_check(const struct map *m, const struct spec_put *p, struct req_error *err);      /* it was told as p has it */
void map_input_take(struct map_item *it, const struct spec_put *p);     /* what was told is that of `it` */
/* map_input_place - `it` has a place. Returns the open file, which has to be on the disk before the record is; -1: it has none. */
int map_input_place(struct map_item *it);
void map_input_gone(struct map_item *it);               /* it will not be started any more; none is fine */
void map_input_restore(struct map_item *it);            /* after a restart */
void map_input_unplace(struct map *m, jt_job place);    /* nothing is in the place: what was to be, and was never on record, goes */
/* map_input_open - for a START. -1 with errno; ENODATA: it is not what was put. */
int map_input_open(const struct active *a);

/* ---- map_client.c ------------------------------------------------------------------------------------------------ */
void map_attach(struct map *m, struct call *call);
void map_greet(struct map *m, bool same_command);       /* when all posted so far is durable: the first reply */
void map_detach(struct map *m);                         /* nobody is told anything any more */
void map_leave(struct map *m);                          /* nobody has it any more: it stops, or waits for the next client */
void map_mistake(struct map *m, const struct req_error *err);   /* the client's: its Map ends with it */
void map_tell(struct map_item *it, const struct store_attempt *at, enum job_reason why);
void map_tell_later(struct map_item *it);
void map_untell(struct map_item *it);
void map_tell_trouble(struct engine *e, const char *text);      /* to the clients of all maps */
void map_pump(struct map *m);                           /* goes on with what waits for room */
void map_wait_for_room(struct map *m);
void map_say(struct map *m, json_t *params);            /* a reply that goes on; takes params */
void map_run_ended(struct run *r);                      /* durably */
int map_control(struct map *m, bool drain, struct req_error *err);
json_t *map_row(const struct map *m);

/* ---- map_read.c --------------------------------------------------------------------------------------------------- */
int map_read(struct map *m, uint64_t tag, bool err, int64_t offset, int64_t max, struct req_error *ret_err);
void map_read_on(struct map_item *it);                  /* it has started, or ended */
void map_readers_step(struct map *m);
void map_readers_drop(struct map_item *it);

/* ---- map_open.c --------------------------------------------------------------------------------------------------- */
struct map_wish {
	const json_t *options;
	int64_t attach;                 /* 0: not given */
	int64_t from_tag;               /* with attach: items in hand below it are an earlier client's */
	bool resume, rerun_failed;
};
void map_open(struct engine *e, struct call *call, const struct map_wish *w);
void map_nexts_open(struct run *r);                     /* it has ended: clients that waited for that go on */

#endif
