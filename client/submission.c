/* SPDX-License-Identifier: MIT */
#include "submission.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "status.h"
#include "talk.h"

#define PACKET (128 * 1024)
#define HEAD_ROOM 128           /* for `{"method":"org.jobd.Add","parameters":{"run":N,"jobs":[` */
#define TAIL "]}}"

static struct packet *filling(struct submission *s)
{
	return &s->packets[s->head];
}

static void packet_reset(struct packet *p)
{
	static const char room[HEAD_ROOM];

	p->text.len = 0;
	p->n_jobs = 0;
	buf_add(&p->text, room, HEAD_ROOM);
}

void submission_init(struct submission *s, struct vl_conn *conn, enum submission_mode mode, struct source *src, int64_t run)
{
	*s = (struct submission){ .conn = conn, .src = src, .mode = mode, .run_options = source_run(src), .run = run };
	packet_reset(filling(s));
}

void submission_done(struct submission *s)
{
	for (size_t i = 0; i < SUBMISSION_IN_FLIGHT + 1; i++) {
		buf_done(&s->packets[i].text);
		free(s->packets[i].places);
	}
	*s = (struct submission){ 0 };
}

/* ---- refusals --------------------------------------------------------------------------------------------------------- */

/* The place of the job with that path in a packet that the daemon refused; errors are rare, so it is parsed only now. */
static struct place place_in_packet(const struct packet *p, const char *path)
{
	struct place at = { 0 };
	struct buf list = { 0 };
	json_t *jobs, *job;
	size_t i;

	buf_putc(&list, '[');
	buf_add(&list, p->text.p + HEAD_ROOM, p->text.len - HEAD_ROOM);
	buf_putc(&list, ']');
	jobs = json_loadb(list.p, list.len, 0, NULL);
	buf_done(&list);
	json_array_foreach(jobs, i, job) {
		const char *name = json_string_value(json_object_get(job, "path"));

		if (name && strcmp(name, path) == 0 && i < p->n_jobs)
			at = p->places[i];
	}
	json_decref(jobs);
	return at;
}

/* An error reply. p: the packet that it answers, NULL: none. */
static int refused(struct submission *s, const struct packet *p, const struct vl_reply *r)
{
	const char *path = json_string_value(json_object_get(r->params, "path"));
	const char *message = json_string_value(json_object_get(r->params, "message"));
	struct place at = { 0 };
	struct fault f;

	if (!path || !*path || !message)
		return call_failed(r);
	if (p)
		at = place_in_packet(p, path);
	if (!at.line)
		at = source_find(s->src, path);
	if (!at.line)
		return call_failed(r);
	fault_set(&f, source_file(s->src), at, "%s", message);
	return complain(call_status(r->error), "%s", f.text);
}

static int broken(struct submission *s, const struct vl_error *err)
{
	if (s->mode == SUBMISSION_ADD || err->code != VL_ECLOSED)
		return call_broken(err);
	return complain(CTL_NO_DAEMON, "the daemon went away; whether it took the run is not known: submit again with the same --key");
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

static int receive(struct submission *s, const struct packet *p, struct vl_reply *r)
{
	struct vl_error err;
	int rc;

	*r = (struct vl_reply){ 0 };
	if (vl_recv(s->conn, -1, r, &err) != 0)
		return broken(s, &err);
	if (!r->error)
		return 0;
	rc = refused(s, p, r);
	vl_reply_done(r);
	return rc;
}

/* The reply to the oldest Add in flight. */
static int receive_added(struct submission *s)
{
	struct packet *p = &s->packets[(s->head + SUBMISSION_IN_FLIGHT + 1 - s->n_sent) % (SUBMISSION_IN_FLIGHT + 1)];
	struct vl_reply r;
	int rc = receive(s, p, &r);

	if (rc)
		return rc;
	s->n_sent--;
	s->n_added += p->n_jobs;
	vl_reply_done(&r);
	return 0;
}

static int receive_all(struct submission *s)
{
	int rc = 0;

	while (rc == 0 && s->n_sent)
		rc = receive_added(s);
	return rc;
}

/* The reply of Submit, Open and Seal. */
static int receive_run(struct submission *s, const struct packet *p)
{
	struct vl_reply r;
	int rc = receive(s, p, &r);

	if (rc)
		return rc;
	s->run = json_integer_value(json_object_get(r.params, "run"));
	s->existing = json_is_true(json_object_get(r.params, "existing"));
	vl_reply_done(&r);
	return s->run > 0 ? 0 : complain(CTL_NO_DAEMON, "the daemon gave no number of a run; are jobctl and jobd of one version?");
}

static int open_run(struct submission *s)
{
	json_t *params = json_pack("{s:O, s:s}", "run", s->run_options, "mode", s->mode == SUBMISSION_STREAM ? "stream" : "bulk");
	int rc = call_begin(s->conn, "Open", params, VL_PLAIN);

	return rc ? rc : receive_run(s, NULL);
}

static int send_text(struct submission *s, const char *text, size_t len)
{
	struct vl_error err;

	return vl_send_text(s->conn, text, len, -1, &err) == 0 ? 0 : broken(s, &err);
}

/* The head goes right before the jobs, into the room left for it. */
static int send_add(struct submission *s, struct packet *p)
{
	char head[HEAD_ROOM];
	int n = snprintf(head, sizeof(head), "{\"method\":\"org.jobd.Add\",\"parameters\":{\"run\":%" PRId64 ",\"jobs\":[", s->run);
	char *start = p->text.p + HEAD_ROOM - n;
	size_t jobs_end = p->text.len;
	int rc;

	memcpy(start, head, (size_t)n);
	buf_add(&p->text, TAIL, sizeof(TAIL));          /* its NUL ends the message */
	start = p->text.p + HEAD_ROOM - n;
	rc = send_text(s, start, p->text.len - HEAD_ROOM + (size_t)n);
	p->text.len = jobs_end;
	return rc;
}

/* What a bulk holds is taken or refused as a whole. Into a run that is open nothing may go behind a packet that was refused. */
static size_t in_flight_max(const struct submission *s)
{
	return s->mode == SUBMISSION_WHOLE ? SUBMISSION_IN_FLIGHT : 1;
}

static int send_packet(struct submission *s)
{
	int rc = 0;

	if (s->run == 0)
		rc = open_run(s);
	if (rc == 0 && s->existing && s->mode == SUBMISSION_STREAM) {
		packet_reset(filling(s));       /* an open run with this key has its jobs already */
		return 0;
	}
	if (rc == 0 && s->n_sent == in_flight_max(s))
		rc = receive_added(s);
	if (rc == 0)
		rc = send_add(s, filling(s));
	if (rc)
		return rc;
	s->n_sent++;
	s->head = (s->head + 1) % (SUBMISSION_IN_FLIGHT + 1);
	packet_reset(filling(s));
	return 0;
}

static int submit_whole(struct submission *s)
{
	struct packet *p = filling(s);
	struct buf text = { 0 };
	char *run = json_dumps(s->run_options, JSON_COMPACT);
	int rc;

	buf_printf(&text, "{\"method\":\"org.jobd.Submit\",\"parameters\":{\"run\":%s,\"jobs\":[", run ? run : "{}");
	buf_add(&text, p->text.p + HEAD_ROOM, p->text.len - HEAD_ROOM);
	buf_add(&text, TAIL, sizeof(TAIL));
	rc = send_text(s, text.p, text.len);
	free(run);
	buf_done(&text);
	return rc ? rc : receive_run(s, p);
}

static int seal(struct submission *s)
{
	int rc = call_begin(s->conn, "Seal", json_pack("{s:I}", "run", (json_int_t)s->run), VL_PLAIN);

	return rc ? rc : receive_run(s, NULL);
}

/* ---- what the verbs call ---------------------------------------------------------------------------------------------- */

static void packet_add(struct packet *p, const struct source_job *job)
{
	if (p->n_jobs == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 1024;
		p->places = xrealloc(p->places, p->cap, sizeof(*p->places));
	}
	if (p->n_jobs)
		buf_putc(&p->text, ',');
	buf_add(&p->text, job->text, job->len);
	p->places[p->n_jobs++] = job->at;
}

static int too_long(const struct submission *s, const struct source_job *job)
{
	struct fault f;

	fault_set(&f, source_file(s->src), job->at, "a job of %zu bytes is more than a message holds (1 MiB)", job->len);
	return complain(CTL_REFUSED, "%s", f.text);
}

int submission_job(struct submission *s, const struct source_job *job)
{
	struct packet *p = filling(s);
	int rc = 0;

	if (job->len > VL_CALL_MAX - 2 * HEAD_ROOM)
		return too_long(s, job);
	if (p->n_jobs && p->text.len + job->len > PACKET)
		rc = send_packet(s);
	if (rc == 0)
		packet_add(filling(s), job);
	return rc;
}

static void call_silently(struct submission *s, const char *method, json_t *params)
{
	struct vl_reply r = { 0 };
	struct vl_error err;

	if (vl_call(s->conn, method, params, VL_PLAIN, -1, &r, &err) == 0)
		vl_reply_done(&r);
}

/* A stream whose very first jobs were refused is taken back: exit status 6 says that nothing has been stored. */
static void take_back(struct submission *s)
{
	char number[24];

	snprintf(number, sizeof(number), "%" PRId64, s->run);
	call_silently(s, "org.jobd.Cancel", json_pack("{s:s, s:b}", "run", number, "now", 1));
	call_silently(s, "org.jobd.Remove", json_pack("{s:s}", "run", number));
}

int submission_flush(struct submission *s)
{
	int rc = 0;

	if (filling(s)->n_jobs || s->run == 0)
		rc = filling(s)->n_jobs ? send_packet(s) : open_run(s);
	if (rc == 0)
		rc = receive_all(s);
	if (rc == CTL_REFUSED && s->mode == SUBMISSION_STREAM && s->run && !s->existing && s->n_added == 0)
		take_back(s);
	return rc;
}

int submission_end(struct submission *s)
{
	int rc;

	if (s->mode == SUBMISSION_WHOLE && s->run == 0)
		return submit_whole(s);
	rc = submission_flush(s);
	if (rc == 0 && s->mode == SUBMISSION_WHOLE)
		rc = seal(s);
	return rc;
}
