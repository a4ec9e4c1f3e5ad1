/* SPDX-License-Identifier: MIT */
#include "help.h"

#include "buf.h"
#include "status.h"
#include "verbs.h"

int help_all(FILE *out)
{
	fputs("usage: jobctl [--socket PATH] VERB [OPTIONS] [ARGUMENTS]\n\n", out);
	for (const struct verb *v = verbs; v->name; v++)
		fprintf(out, "  %-11s %-26s %s\n", v->name, v->args, v->summary);
	fputs("\nA run is its number or its name; a job is RUN/PATH. `jobctl VERB --help` tells more, jobctl(1) everything.\n"
	      "Exit status: 0 all well; 1 some job failed; 2 usage; 3 no such run or job; 4 no daemon; 5 timed out; 6 refused; 7 busy;\n"
	      "130 interrupted. `run` and `wait --exit-code` exit as the job did.\n", out);
	return CTL_OK;
}

static void print_options(const struct opt *opts)
{
	for (; opts->kind != OPT_NO_MORE; opts++) {
		struct buf b = { 0 };

		if (opts->letter)
			buf_printf(&b, "-%c, ", opts->letter);
		buf_printf(&b, "--%s", opts->name);
		if (opts->arg)
			buf_printf(&b, " %s", opts->arg);
		printf("  %-26s %s\n", buf_text(&b), opts->help);
		buf_done(&b);
	}
}

int help_verb(const struct verb *v)
{
	printf("usage: jobctl %s [OPTIONS]%s%s\n%s\n\n", v->name, *v->args ? " " : "", v->args, v->summary);
	print_options(v->opts);
	print_options(options_common);
	return CTL_OK;
}
