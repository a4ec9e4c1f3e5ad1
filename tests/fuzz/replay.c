/* SPDX-License-Identifier: MIT */
/* Replay - runs every file of the named folders through a target: a corpus as a plain test, without a fuzzer. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_MAX (4 * 1024 * 1024)

static char current[PATH_MAX];          /* so that a core or a debugger tells which one it was */

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX), *exact;
	size_t size;

	must(f && data);
	size = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	exact = realloc(data, size ? size : 1);         /* so that a sanitizer sees a read behind its end */
	must(exact);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int run_folder(const char *folder)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_input, alphasort);

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		must(snprintf(current, sizeof(current), "%s/%s", folder, entries[i]->d_name) < (int)sizeof(current));
		run_file(current);
		free(entries[i]);
	}
	free(entries);
	return n;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++)
		n += run_folder(argv[i]);
	printf("%d inputs\n", n);
	return n ? 0 : 1;
}
