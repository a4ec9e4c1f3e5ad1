/* SPDX-License-Identifier: MIT */
/*
 * Files: what people write - YAML, JSON, NDJSON and lines with jobs, and jobd.conf. What is accepted are jobs that are JSON;
 * what is not is refused with the file's name.
 *
 * Input: a byte (the kind of file), then the file.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/source.h"
#include "fuzz.h"
#include "proto/conf.h"

enum { CONF = 5, N_KINDS };

static void check_refusal(const struct fault *f, const char *file)
{
	must(f->status != 0 && strstr(f->text, file));
}

static void read_jobs(const char *file, enum format format)
{
	struct source_job job;
	struct source *src;
	struct fault f = { 0 };
	int got;

	if (source_open(file, format, &src, &f) != 0) {
		check_refusal(&f, file);
		return;
	}
	while ((got = source_next(src, &job, &f)) == 1) {
		json_t *obj = json_loadb(job.text, job.len, 0, NULL);

		must(json_is_object(obj));
		json_decref(obj);
		(void)source_place(src, &job, "retry.max");
	}
	if (got < 0)
		check_refusal(&f, file);
	source_free(src);
}

/* What was read, printed and read again is the same. */
static void read_conf(const char *text, size_t len)
{
	struct conf_error err = { .text = "" };
	struct conf c;
	char *printed, *again;

	conf_init(&c);
	if (conf_parse("jobd.conf", text, len, &c, &err) != 0) {
		must(strstr(err.text, "jobd.conf"));
		return;
	}
	printed = conf_print(&c);
	must(conf_parse("again", printed, strlen(printed), &c, &err) == 0);
	again = conf_print(&c);
	must(strcmp(printed, again) == 0);
	free(printed);
	free(again);
	conf_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum format formats[] = { FORMAT_GUESS, FORMAT_YAML, FORMAT_JSON, FORMAT_NDJSON, FORMAT_LINES };
	char file[32];
	int fd;

	if (size < 1)
		return 0;
	if (data[0] % N_KINDS == CONF) {
		read_conf((const char *)data + 1, size - 1);
		return 0;
	}
	fd = memfd_create("jobs", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1);
	(void)snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	read_jobs(file, formats[data[0] % N_KINDS]);
	close(fd);
	return 0;
}
