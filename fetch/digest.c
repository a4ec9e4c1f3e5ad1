/* SPDX-License-Identifier: MIT */
#include "digest.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crc.h"
#include "mem.h"
#include "proto/base64.h"

/* also: the names that HTTP fields have for it. crc: -1 for OpenSSL's. */
static const struct {
	const char *name, *also[2];
	unsigned len;
	const EVP_MD *(*evp)(void);
	int crc;
} algs[] = {
	{ "md5", { NULL, NULL }, 16, EVP_md5, -1 },
	{ "sha1", { "sha-1", "sha" }, 20, EVP_sha1, -1 },
	{ "sha256", { "sha-256", NULL }, 32, EVP_sha256, -1 },
	{ "sha512", { "sha-512", NULL }, 64, EVP_sha512, -1 },
	{ "crc32", { NULL, NULL }, 4, NULL, JTI_CRC32 },
	{ "crc32c", { NULL, NULL }, 4, NULL, JTI_CRC32C },
	{ "crc64nvme", { NULL, NULL }, 8, NULL, JTI_CRC64NVME },
};
#define N_ALGS (sizeof(algs) / sizeof(*algs))

static int find(const char *name, unsigned *ret)
{
	for (unsigned i = 0; i < N_ALGS; i++)
		if (strcasecmp(algs[i].name, name) == 0 || (algs[i].also[0] && strcasecmp(algs[i].also[0], name) == 0) ||
		    (algs[i].also[1] && strcasecmp(algs[i].also[1], name) == 0)) {
			*ret = i;
			return 0;
		}
	return -1;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int read_hex(unsigned alg, const char *hex, size_t len, struct digest *ret)
{
	struct digest d = { .alg = alg };

	if (len != 2 * (size_t)algs[alg].len)
		return -1;
	for (size_t i = 0; i < len; i += 2) {
		int high = nibble(hex[i]), low = nibble(hex[i + 1]);

		if (high < 0 || low < 0)
			return -1;
		d.value[i / 2] = (unsigned char)(high << 4 | low);
	}
	*ret = d;
	return 0;
}

int digest_from_hex(const char *alg, const char *hex, size_t len, struct digest *ret)
{
	unsigned i;

	return find(alg, &i) == 0 ? read_hex(i, hex, len, ret) : -1;
}

int digest_read(const char *text, struct digest *ret)
{
	const char *colon = strchr(text, ':');
	char name[16];

	if (!colon || (size_t)(colon - text) >= sizeof(name))
		return -1;
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';
	return digest_from_hex(name, colon + 1, strlen(colon + 1), ret);
}

int digest_from_length(const char *hex, size_t len, struct digest *ret)
{
	for (unsigned i = 0; i < N_ALGS; i++)
		if (algs[i].evp && len == 2 * (size_t)algs[i].len)
			return read_hex(i, hex, len, ret);
	return -1;
}

int digest_from_base64(const char *alg, const char *text, size_t len, struct digest *ret)
{
	struct digest d = { 0 };
	unsigned char *bytes;
	size_t n;
	int rc = -1;

	if (find(alg, &d.alg) != 0 || len > 2 * DIGEST_MAX)
		return -1;
	bytes = mem_zero(len + 4, 1);
	if (base64_decode(text, len, bytes, &n) == 0 && n == algs[d.alg].len) {
		memcpy(d.value, bytes, n);
		*ret = d;
		rc = 0;
	}
	free(bytes);
	return rc;
}

char *digest_text(const struct digest *d)
{
	char hex[2 * DIGEST_MAX + 1] = "";

	for (unsigned i = 0; i < algs[d->alg].len; i++) {
		hex[2 * i] = "0123456789abcdef"[d->value[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[d->value[i] & 15];
	}
	return mem_print("%s:%s", algs[d->alg].name, hex);
}

static bool same(const struct digest *a, const struct digest *b)
{
	return a->alg == b->alg && memcmp(a->value, b->value, algs[a->alg].len) == 0;
}

void digests_add(struct digests *s, const struct digest *d)
{
	for (size_t i = 0; i < s->n; i++)
		if (same(&s->v[i], d))
			return;
	if (s->n < DIGEST_WANTED_MAX)
		s->v[s->n++] = *d;
}

bool digests_have(const struct digests *s, const struct digest *like)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].alg == like->alg)
			return true;
	return false;
}

char *digests_text(const struct digests *s)
{
	char *text = NULL;

	for (size_t i = 0; i < s->n; i++) {
		char *one = digest_text(&s->v[i]), *old = text;

		text = old ? mem_print("%s %s", old, one) : mem_text(one);
		free(old);
		free(one);
	}
	return text;
}

int digests_read(const char *text, struct digests *ret)
{
	struct digests s = { 0 };

	while (text && *text) {
		size_t len = strcspn(text, " ");
		char *one = mem_part(text, len);
		struct digest d;
		int rc = digest_read(one, &d);

		free(one);
		if (rc != 0)
			return -1;
		digests_add(&s, &d);
		text += len + (text[len] == ' ');
	}
	*ret = s;
	return 0;
}

/* ---- computing ------------------------------------------------------------------------------------------------------- */

struct digest_run {
	struct digests wanted;
	EVP_MD_CTX *evp[DIGEST_WANTED_MAX];
	struct jti_crc *crc[DIGEST_WANTED_MAX];
};

/* A library that cannot compute MD5 (a policy may forbid it) must not look like a file that is right. */
static void must(int good)
{
	if (good != 1)
		abort();
}

struct digest_run *digest_run_new(const struct digests *wanted)
{
	struct digest_run *r = mem_zero(1, sizeof(*r));

	r->wanted = *wanted;
	for (size_t i = 0; i < wanted->n; i++) {
		unsigned alg = wanted->v[i].alg;

		if (algs[alg].evp) {
			r->evp[i] = EVP_MD_CTX_new();
			must(r->evp[i] && EVP_DigestInit_ex(r->evp[i], algs[alg].evp(), NULL));
		} else {
			r->crc[i] = mem_zero(1, sizeof(*r->crc[i]));
			jti_crc_init(r->crc[i], (enum jti_crc_kind)algs[alg].crc);
		}
	}
	return r;
}

void digest_run_add(struct digest_run *r, const void *data, size_t len)
{
	for (size_t i = 0; i < r->wanted.n; i++) {
		if (r->evp[i])
			must(EVP_DigestUpdate(r->evp[i], data, len));
		else
			jti_crc_add(r->crc[i], data, len);
	}
}

static void value_of(const struct digest_run *r, size_t i, struct digest *ret)
{
	*ret = (struct digest){ .alg = r->wanted.v[i].alg };
	if (r->evp[i]) {
		must(EVP_DigestFinal_ex(r->evp[i], ret->value, NULL));
		return;
	}
	for (unsigned n = algs[ret->alg].len, at = 0; at < n; at++)
		ret->value[at] = (unsigned char)(jti_crc_value(r->crc[i]) >> 8 * (n - 1 - at));
}

bool digest_run_end(struct digest_run *r, struct digest *ret_wanted, struct digest *ret_bad)
{
	for (size_t i = 0; i < r->wanted.n; i++) {
		struct digest is;

		value_of(r, i, &is);
		if (same(&is, &r->wanted.v[i]))
			continue;
		*ret_wanted = r->wanted.v[i];
		*ret_bad = is;
		return false;
	}
	return true;
}

void digest_run_free(struct digest_run *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->wanted.n; i++) {
		EVP_MD_CTX_free(r->evp[i]);
		free(r->crc[i]);
	}
	free(r);
}

char *digest_id(const char *text)
{
	struct digest d = { .alg = 2 };
	char *named, *hex;

	must(EVP_Digest(text, strlen(text), d.value, NULL, EVP_sha256(), NULL));
	named = digest_text(&d);
	hex = mem_text(strchr(named, ':') + 1);
	free(named);
	return hex;
}
