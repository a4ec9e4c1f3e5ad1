/* SPDX-License-Identifier: MIT */
#include "sums.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "HEX  NAME" and "HEX *NAME", as md5sum, sha1sum, sha256sum and sha512sum write them. 1: it is the line of name; 0: of another; -1: no such line. */
static int read_line(char *line, const char *name, struct digest *ret)
{
	size_t hex = strcspn(line, " "), end = strcspn(line, "\r\n");

	line[end] = '\0';
	if (digest_from_length(line, hex, ret) != 0 || line[hex] != ' ' || (line[hex + 1] != ' ' && line[hex + 1] != '*'))
		return -1;
	return strcmp(base_name(line + hex + 2), name) == 0;
}

static int find_line(FILE *f, const char *path, const char *name, struct digests *ret, struct fail *fail)
{
	char *line = NULL;
	size_t size = 0, number = 0;
	struct digest d;
	int rc = 0;

	while (rc == 0 && getline(&line, &size, f) > 0) {
		number++;
		if (line[0] == '#' || line[strspn(line, " \t\r\n")] == '\0')
			continue;
		rc = read_line(line, name, &d);
		if (rc < 0)
			fail_set(fail, FETCH_USAGE, "%s:%zu: not a line of sha256sum: HEX  NAME", path, number);
	}
	free(line);
	if (rc == 0)
		return fail_set(fail, FETCH_USAGE, "%s has no line for %s", path, name);
	if (rc > 0)
		digests_add(ret, &d);
	return rc > 0 ? 0 : -1;
}

static int read_file(const char *path, const char *name, struct digests *ret, struct fail *fail)
{
	FILE *f = fopen(path, "re");
	int rc;

	if (!f)
		return fail_set(fail, FETCH_USAGE, "cannot read %s: %s", path, strerror(errno));
	rc = find_line(f, path, base_name(name), ret, fail);
	fclose(f);
	return rc;
}

int sums_read(const struct fetch_options *o, struct digests *ret, struct fail *fail)
{
	struct digests sums = { 0 };
	struct digest d;

	for (size_t i = 0; i < o->checksum.n; i++) {
		if (digest_read(o->checksum.v[i], &d) != 0)
			return fail_set(fail, FETCH_USAGE, "--checksum must be ALG:HEX, with md5, sha1, sha256 or sha512 and all its digits, got \"%s\"",
					o->checksum.v[i]);
		digests_add(&sums, &d);
	}
	if (o->checksum_file && read_file(o->checksum_file, o->into ? o->into : o->output, &sums, fail) != 0)
		return -1;
	*ret = sums;
	return 0;
}
