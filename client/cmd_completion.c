/* SPDX-License-Identifier: MIT */
/* completion: scripts for shells, made from the tables of verbs and options, so that they cannot fall behind. */
#include <stdio.h>
#include <string.h>

#include "status.h"
#include "talk.h"
#include "verbs.h"

static void print_verbs(void)
{
	for (const struct verb *v = verbs; v->name; v++)
		printf("%s%s", v == verbs ? "" : " ", v->name);
}

static void print_words(const struct opt *opts)
{
	for (; opts->kind != OPT_NO_MORE; opts++) {
		printf(" --%s", opts->name);
		if (opts->letter)
			printf(" -%c", opts->letter);
	}
}

/*
 * Runs are completed by asking the daemon, if one runs; files by the shell. The name of a run is anybody's text: compgen -W would expand it, and run
 * what is in it.
 */
static void bash(void)
{
	puts("# bash completion for jobctl: source <(jobctl completion bash)\n"
	     "_jobctl()\n"
	     "{\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} verb= word words=\n"
	     "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	     "\t\tcase $word in -*) ;; *) verb=$word; break ;; esac\n"
	     "\tdone\n"
	     "\tcase $verb in");
	printf("\t'') words='");
	print_verbs();
	printf("' ;;\n");
	for (const struct verb *v = verbs; v->name; v++) {
		printf("\t%s) words='", v->name);
		print_words(v->opts);
		print_words(options_common);
		printf("' ;;\n");
	}
	puts("\tesac\n"
	     "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	     "\tcase $verb in\n"
	     "\tadd|seal|ls|tree|show|why|follow|events|wait|logs|cancel|hold|release|pause|resume|retry|rm)\n"
	     "\t\t[[ $cur == -* ]] && return\n"
	     "\t\twhile IFS= read -r word; do\n"
	     "\t\t\t[[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$(printf %q \"$word\")\")\n"
	     "\t\tdone < <(jobctl ls -n 50 2>/dev/null | awk 'NR > 1 { print $1; print $NF }') ;;\n"
	     "\tesac\n"
	     "}\n"
	     "complete -o default -o bashdefault -F _jobctl jobctl");
}

static void zsh(void)
{
	puts("#compdef jobctl\n"
	     "# zsh completion for jobctl: source <(jobctl completion zsh)\n"
	     "autoload -U +X bashcompinit && bashcompinit");
	bash();
}

/* -d 'TEXT': a dollar means nothing between these quotes. */
static void fish_description(const char *text)
{
	fputs(" -d '", stdout);
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	puts("'");
}

static void fish_option(const struct verb *v, const struct opt *opt)
{
	printf("complete -c jobctl -n '__fish_seen_subcommand_from %s' -l %s", v->name, opt->name);
	if (opt->letter)
		printf(" -s %c", opt->letter);
	fputs(opt_is_flag(opt) ? "" : " -r", stdout);
	fish_description(opt->help);
}

static void fish(void)
{
	puts("# fish completion for jobctl: jobctl completion fish | source");
	for (const struct verb *v = verbs; v->name; v++) {
		printf("complete -c jobctl -n __fish_use_subcommand -a %s", v->name);
		fish_description(v->summary);
		for (const struct opt *opt = v->opts; opt->kind != OPT_NO_MORE; opt++)
			fish_option(v, opt);
	}
}

int cmd_completion(const struct options *o)
{
	static const struct { const char *name; void (*print)(void); } shells[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

	for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++)
		if (strcmp(o->args[0], shells[i].name) == 0) {
			shells[i].print();
			return CTL_OK;
		}
	return complain(CTL_USAGE, "there is a completion for bash, zsh and fish, not for \"%s\"", o->args[0]);
}
