/*
 * people.h
 *	  The mail addresses of the simulated world: our own people and others.
 */
#ifndef PEOPLE_H
#define PEOPLE_H

#include <stddef.h>
#include <stdint.h>

/* a power of two, and more than the largest message has recipients */
#define PEOPLE_COUNT 8192
#define ADDRESS_SIZE 64 /* bytes an address may take */

typedef enum Crowd
{
	CROWD_OWN,	  /* in the tenant's domains */
	CROWD_OTHERS, /* everybody else */
	CROWDS
} Crowd;

typedef struct Address
{
	uint8_t length;				 /* bytes of text */
	uint8_t at;					 /* where its @ is */
	char text[ADDRESS_SIZE - 2]; /* lower case, not NUL-terminated */
} Address;

typedef enum Spelling
{
	SPELLING_LOWER, /* ada.lovelace@contoso.com */
	SPELLING_TITLE, /* Ada.Lovelace@contoso.com */
	SPELLING_UPPER, /* ADA.LOVELACE@contoso.com */
	SPELLING_DOMAIN /* ada.lovelace@Contoso.Com */
} Spelling;

extern void people_make(void);
extern const Address *people_address(Crowd crowd, uint32_t number);
extern size_t people_spell(char *out, const Address *address, Spelling spelling);

#endif
