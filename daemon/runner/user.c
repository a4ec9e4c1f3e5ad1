/* SPDX-License-Identifier: MIT */
/* User: see user.h. */
#include "user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUF_MIN 4096
#define BUF_MAX (1024 * 1024)   /* of one entry; groups can have many members */

/* A plain decimal id; -1 when it is not one. */
static int64_t number(const char *text)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtoul(text, &end, 10);
	return errno || *end || n >= UINT32_MAX ? -1 : (int64_t)n;
}

/* What is kept of a passwd entry. */
struct account {
	char *name;             /* NULL: an id without an entry */
	uid_t uid;
	gid_t gid;
};

static int copy_account(const struct passwd *pw, struct account *ret)
{
	ret->name = strdup(pw->pw_name);
	ret->uid = pw->pw_uid;
	ret->gid = pw->pw_gid;
	return ret->name ? 0 : ENOMEM;
}

/* A buffer for an entry, twice as large as it was. 0, or ENOMEM; the caller frees it in either case. */
static int enlarge(char **buf, size_t *size)
{
	size_t want = *size ? 2 * *size : BUF_MIN;
	char *bigger = realloc(*buf, want);

	if (!bigger)
		return ENOMEM;
	*buf = bigger;
	*size = want;
	return 0;
}

/* By name, or, with name NULL, by id. ENOENT: no such entry. */
static int find_account(const char *name, uid_t uid, struct account *ret)
{
	struct passwd pw, *found = NULL;
	char *buf = NULL;
	size_t size = 0;
	int rc;

	do {
		rc = enlarge(&buf, &size);
		if (!rc)
			rc = name ? getpwnam_r(name, &pw, buf, size, &found) : getpwuid_r(uid, &pw, buf, size, &found);
	} while (rc == ERANGE && size < BUF_MAX);
	if (!rc)
		rc = found ? copy_account(found, ret) : ENOENT;
	free(buf);
	return rc;
}

static int find_group(const char *name, gid_t *ret)
{
	struct group gr, *found = NULL;
	char *buf = NULL;
	size_t size = 0;
	int rc;

	do {
		rc = enlarge(&buf, &size);
		if (!rc)
			rc = getgrnam_r(name, &gr, buf, size, &found);
	} while (rc == ERANGE && size < BUF_MAX);
	if (!rc && found)
		*ret = found->gr_gid;
	else if (!rc && number(name) >= 0)
		*ret = (gid_t)number(name);
	else if (!rc)
		rc = ENOENT;
	free(buf);
	return rc;
}

/* The account of an order's user. An id without an entry needs a group of its own: *has_gid says whether there is one. */
static int account_of(const char *user, struct account *ret, bool *has_gid)
{
	int64_t id = user ? number(user) : (int64_t)geteuid();
	int rc = user ? find_account(user, 0, ret) : ENOENT;

	*has_gid = true;
	if (rc != ENOENT || id < 0)
		return rc;
	rc = find_account(NULL, (uid_t)id, ret);
	if (rc != ENOENT)
		return rc;
	*ret = (struct account){.uid = (uid_t)id, .gid = getegid()};
	*has_gid = !user;
	return 0;
}

static int find_groups(const struct account *a, struct user_ids *ret)
{
	int n = 64, had;

	if (!a->name)
		return 0;
	do {
		gid_t *bigger = realloc(ret->groups, (size_t)n * sizeof(*ret->groups));

		if (!bigger)
			return ENOMEM;
		ret->groups = bigger;
		had = n;
	} while (getgrouplist(a->name, ret->gid, ret->groups, &n) < 0 && n > had);
	ret->n_groups = (size_t)n;
	return 0;
}

/* An unprivileged runner that is asked to be what it is has nothing to change. */
static bool already(const struct user_ids *ids)
{
	return geteuid() != 0 && ids->uid == geteuid() && ids->gid == getegid();
}

int user_resolve(const char *user, const char *group, struct user_ids *ret)
{
	struct user_ids ids = {.change = true};
	struct account a = {0};
	bool has_gid;
	int rc;

	*ret = (struct user_ids){.change = false};
	if (!user && !group)
		return 0;
	rc = account_of(user, &a, &has_gid);
	if (!rc) {
		ids.uid = a.uid;
		ids.gid = a.gid;
		rc = group ? find_group(group, &ids.gid) : has_gid ? 0 : ENOENT;
	}
	if (!rc && !already(&ids))
		rc = find_groups(&a, &ids);
	free(a.name);
	if (rc || already(&ids)) {
		user_ids_done(&ids);
		return rc;
	}
	*ret = ids;
	return 0;
}

void user_ids_done(struct user_ids *ids)
{
	free(ids->groups);
	*ids = (struct user_ids){.change = false};
}
