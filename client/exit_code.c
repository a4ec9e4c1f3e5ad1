/* SPDX-License-Identifier: MIT */
#include "exit_code.h"

#include <string.h>

#include "render.h"

int exit_code_of(const json_t *result, int otherwise)
{
	json_int_t code = reply_int(result, "exit_code", -1), sig = reply_int(result, "signal", -1);
	const char *reason = reply_text(result, "reason");

	if (code == 0 && otherwise != 0)
		return otherwise;       /* told to end, by a timeout or a cancel, it may say that it ended well */
	if (code >= 0 && code <= 255)
		return (int)code;
	if (sig > 0 && sig < 128)
		return 128 + (int)sig;
	return reason && strcmp(reason, "spawn") == 0 ? 127 : otherwise;
}
