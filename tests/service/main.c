/*
 * main.c
 *	  A simulated Office 365 Message Trace service, for tests and the demo.
 *
 * Starts the parts, says where it listens, and waits for its end.
 */
#include "clock.h"
#include "directory.h"
#include "escape.h"
#include "fold.h"
#include "options.h"
#include "people.h"
#include "server.h"
#include "shutdown.h"

#include <stdio.h>

int
main(int argc, char **argv)
{
	uint16_t port;

	options_read(argc, argv);
	clock_start(options_get()->fixed_clock, options_get()->now);
	if (!directory_start())
		return 1;
	people_make();
	escape_start();
	fold_start();
	shutdown_prepare();
	if (!server_start(&port))
		return 1;
	printf("listening %u\n", (unsigned) port);
	fflush(stdout);
	shutdown_await();
	server_stop();
	return 0;
}
