/* The bar: libmicrohttpd with the daemon's own settings of threads, epoll and connection memory, and a handler that answers every
 * request with the same bytes. What the service needs beyond this is its own.
 *   bare THREADS BYTES: prints its port, serves until its standard input ends; a body of BYTES bytes for GET, of 201 for POST */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *body;
static size_t n_body;

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *data, size_t *n_data, void **con_cls)
{
	static int seen;
	struct MHD_Response *r;
	enum MHD_Result queued;

	(void)cls;
	(void)url;
	(void)version;
	(void)data;
	if (*con_cls == NULL || *n_data > 0) {
		*con_cls = &seen;
		*n_data = 0;
		return MHD_YES;
	}
	r = MHD_create_response_from_buffer(n_body, body, MHD_RESPMEM_PERSISTENT);
	if (r == NULL)
		return MHD_NO;
	if (MHD_add_response_header(r, "Content-Type", "application/json") != MHD_YES || MHD_add_response_header(r, "X-Request-Id", "req_01JD8Z3M2V9Q4T6R8W0Y2A4C6E") != MHD_YES) {
		MHD_destroy_response(r);
		return MHD_NO;
	}
	queued = MHD_queue_response(c, strcmp(method, "POST") == 0 ? 201 : 200, r);
	MHD_destroy_response(r);
	return queued;
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *d;
	char byte;

	if (argc != 3)
		return 2;
	n_body = (size_t)strtoul(argv[2], NULL, 10);
	body = malloc(n_body + 1);
	if (body == NULL)
		return 1;
	memset(body, 'x', n_body);
	d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, &any,
	    MHD_OPTION_CONNECTION_LIMIT, 15000u, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32 << 10, MHD_OPTION_THREAD_POOL_SIZE,
	    (unsigned int)strtoul(argv[1], NULL, 10), MHD_OPTION_END);
	info = d != NULL ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT) : NULL;
	if (info == NULL)
		return 1;
	printf("%d\n", info->port);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	MHD_stop_daemon(d);
	free(body);
	return 0;
}
