/*
 * server.h
 *	  Takes requests from libmicrohttpd and finds who answers them.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stdint.h>

extern bool server_start(uint16_t *port);
extern void server_stop(void);

#endif
