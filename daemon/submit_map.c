/* SPDX-License-Identifier: MIT */
/* A map comes in: a run whose options are those of the map. Its items: map_items.c. */
#include "map.h"
#include "submit.h"

/* Beside them a run has no options of its own: see run_read_options. */
static json_t *options_of_map(const json_t *options)
{
	return json_pack("{s:O}", "map", options);
}

char *submit_map_options(const json_t *options)
{
	json_t *all = options_of_map(options);
	char *text = submit_options_text(all);

	json_decref(all);
	return text;
}

struct run *submit_map(struct engine *e, struct call *call, const json_t *options, struct req_error *err)
{
	json_t *all = options_of_map(options);
	struct run *r = submit_new_run(e, call, all, SUBMIT_MAP, err);
	struct jt_changes ch = { 0 };

	json_decref(all);
	if (r && (map_new(r, err) < 0 || submit_begin(r, &ch, err) < 0)) {
		run_forget(r);
		r = NULL;
	}
	if (r) {
		submit_post_run(r);
		submit_show_run(r);
	}
	jt_changes_done(&ch);
	return r;
}

void submit_map_again(struct run *r)
{
	struct store_op *op = engine_op(r->e, ST_RUN_SET, r);

	run_unretire(r);
	r->ended_noted = false;
	r->paused = false;
	jt_sched_pause(r->sched, false);
	r->ended_at_us = 0;
	r->state = RUN_RUNNING;
	run_record(r, op);
	op->run.options = xstrdup(r->options);
	engine_event(op, r, JT_NONE, EV_RESUMED);
	op->event.state = (uint8_t)run_shown_state(r);
	op->done = notice_op;
	engine_post(r->e, op);
}
