/* SPDX-License-Identifier: MIT */
/* puppet SOCKET NAME - a job that ends when it is told: says its name on a Unix socket, reads one byte, exits with it. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A job has no business with leaks, and is traced, killed and kept from forking: under a sanitizer the look for them would be its end. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int main(int argc, char **argv)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	unsigned char status;

	if (argc != 3 || fd < 0)
		return 98;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", argv[1]);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || send(fd, argv[2], strlen(argv[2]), 0) < 0)
		return 97;
	return recv(fd, &status, 1, 0) == 1 ? status : 96;
}
