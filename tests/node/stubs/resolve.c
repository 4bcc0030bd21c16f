/*
 * getaddrinfo, of whatever C library this is linked with: "name address" or "name code" a line.
 * All names at once, in processes of their own, since some are waited for.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void resolve(const char *name)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *first;
	int code = getaddrinfo(name, NULL, &hints, &first);

	if (code) {
		printf("%s %d\n", name, code);
		return;
	}
	for (struct addrinfo *at = first; at; at = at->ai_next) {
		char text[INET6_ADDRSTRLEN];
		void *address = at->ai_family == AF_INET
			? (void *)&((struct sockaddr_in *)at->ai_addr)->sin_addr
			: (void *)&((struct sockaddr_in6 *)at->ai_addr)->sin6_addr;

		inet_ntop(at->ai_family, address, text, sizeof text);
		printf("%s %s\n", name, text);
	}
	freeaddrinfo(first);
}

int main(int argc, char **argv)
{
	/* Each writes whole lines, however many there are. */
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	for (int i = 1; i < argc; i++)
		if (fork() == 0) {
			resolve(argv[i]);
			return 0;
		}
	while (wait(NULL) > 0)
		;
}
