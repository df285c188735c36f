/*
 * people.c
 *	  The mail addresses of the simulated world.
 *
 * 64 first names times 128 last names give every person of a crowd a different
 * local part, so addresses are unique whatever the domain. Only ASCII letters
 * change with the spelling: the normal form lowers no others.
 */
#include "people.h"

#include "hash.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FIRST_NAMES 64
#define LAST_NAMES 128

static const char *const first_names[FIRST_NAMES] = {
	"ada",		"miles",   "grace",	 "jürgen", "alan",	   "barbara", "chen",	   "dennis",
	"edsger",	"frances", "guido",	 "hedy",   "ivan",	   "joan",	  "katherine", "linus",
	"margaret", "niklaus", "olga",	 "peter",  "quentin",  "radia",	  "søren",	   "tim",
	"ursula",	"vint",	   "wendy",	 "xavier", "yukihiro", "zoë",	  "andré",	   "beatriz",
	"carlos",	"dorothy", "elena",	 "fatima", "george",   "hannah",  "igor",	   "josé",
	"karen",	"lars",	   "maría",	 "nadia",  "omar",	   "paula",	  "rafael",	   "sara",
	"tomáš",	"ulla",	   "victor", "walter", "ximena",   "yara",	  "zbigniew",  "anna-lena",
	"björn",	"chloë",   "dieter", "emma",   "françois", "greta",	  "hugo",	   "inés"};

static const char *const last_names[LAST_NAMES] = {
	"lovelace",		 "o'brien",	   "hopper",   "müller",   "turing",	   "liskov",
	"wei",			 "ritchie",	   "dijkstra", "allen",	   "van.rossum",   "lamarr",
	"sutherland",	 "clarke",	   "johnson",  "torvalds", "hamilton",	   "wirth",
	"ladyzhenskaya", "naur",	   "stafford", "perlman",  "kierkegård",   "berners-lee",
	"franklin",		 "cerf",	   "carlos",   "leroy",	   "matsumoto",	   "washburne",
	"citroën",		 "haddad",	   "gardel",   "vaughan",  "kagan",		   "al-fihri",
	"boole",		 "arendt",	   "sikorsky", "saramago", "spärck-jones", "ericsson",
	"garcía",		 "boulanger",  "khayyam",  "cox",	   "nadal",		   "blakely",
	"baťa",			 "lindqvist",  "hugo",	   "gropius",  "navarro",	   "shahidi",
	"herbert",		 "schmidt",	   "borg",	   "sevigny",  "rams",		   "noether",
	"truffaut",		 "garbo",	   "boss",	   "suárez",   "o'neil",	   "d'angelo",
	"smith",		 "jones",	   "taylor",   "brown",	   "williams",	   "wilson",
	"davies",		 "robinson",   "wright",   "thompson", "evans",		   "walker",
	"white",		 "roberts",	   "green",	   "hall",	   "wood",		   "jackson",
	"clarkson",		 "patel",	   "khan",	   "lewis",	   "james",		   "phillips",
	"mason",		 "mitchell",   "rose",	   "davis",	   "rodgers",	   "cooper",
	"becker",		 "fischer",	   "weber",	   "wagner",   "schäfer",	   "koch",
	"bauer",		 "richter",	   "klein",	   "wolf",	   "schröder",	   "neumann",
	"schwarz",		 "zimmermann", "rossi",	   "ferrari",  "esposito",	   "bianchi",
	"romano",		 "colombo",	   "ricci",	   "marino",   "bruno",		   "gallo",
	"dubois",		 "moreau",	   "laurent",  "lefèvre",  "nuñez",		   "løvås",
	"kovačič",		 "nowak"};

static const char *const own_domains[] = {
	"contoso.com",		 "contoso.com", "contoso.com",
	"contoso.com",		 "contoso.com", "contoso.com",
	"eu.contoso.com",	 "contoso.de",	"contoso.onmicrosoft.com",
	"mail.contoso.co.uk"};

static const char *const other_domains[] = {"fabrikam.com",
											"northwindtraders.com",
											"adatum.com",
											"tailspintoys.com",
											"wingtiptoys.com",
											"litwareinc.com",
											"proseware.com",
											"woodgrovebank.com",
											"fourthcoffee.com",
											"alpineskihouse.com",
											"margiestravel.com",
											"blueyonderairlines.com",
											"cohovineyard.com",
											"cohowinery.com",
											"cpandl.com",
											"datum.example",
											"graphicdesigninstitute.com",
											"humongousinsurance.com",
											"lucernepublishing.com",
											"treyresearch.net",
											"thephone-company.com",
											"wideworldimporters.com",
											"relecloud.com",
											"vanarsdelltd.com",
											"bellowscollege.com",
											"bestforyouorganics.com",
											"firstupconsultants.com",
											"lamnahealthcare.com",
											"libertysdelightfulsinfulbakery.com",
											"munsonspicklesandpreservesfarm.com",
											"nodpublishers.com",
											"olympia.example",
											"schoolof-fine-art.net",
											"worldwide.example",
											"müller-söhne.example",
											"news.example.org"};

static Address people[CROWDS][PEOPLE_COUNT];

static void
make_person(Address *address, Crowd crowd, uint32_t number)
{
	const char *first = first_names[number % FIRST_NAMES];
	const char *last = last_names[(number + number / FIRST_NAMES) % LAST_NAMES];
	uint64_t draw = hash_draw(UINT64_C(0x70656f706c65), number * 2 + crowd);
	const char *domain;
	char text[128];
	int length;

	/* the first sixteen stay at contoso.com and fabrikam.com: tests name them */
	if (crowd == CROWD_OWN)
		domain = own_domains[number < 16 ? 0 : draw % (sizeof(own_domains) / sizeof(char *))];
	else
		domain = other_domains[number < 16 ? 0 : draw % (sizeof(other_domains) / sizeof(char *))];
	length = snprintf(text, sizeof(text), "%s.%s%s@%s", first, last,
					  number == 2 || (draw >> 32) % 37 == 0 ? "+lists" : "", domain);
	if (length > (int) sizeof(address->text))
		length = snprintf(text, sizeof(text), "%s.%s@contoso.com", first, last);
	address->length = (uint8_t) length;
	address->at = (uint8_t) (strchr(text, '@') - text);
	memcpy(address->text, text, (size_t) length);
}

void
people_make(void)
{
	for (int crowd = 0; crowd < CROWDS; crowd++)
		for (uint32_t number = 0; number < PEOPLE_COUNT; number++)
			make_person(&people[crowd][number], (Crowd) crowd, number);
}

const Address *
people_address(Crowd crowd, uint32_t number)
{
	return &people[crowd][number % PEOPLE_COUNT];
}

static char
upper(char c)
{
	return (c >= 'a' && c <= 'z') ? (char) (c - 32) : c;
}

/*
 * Writes an address as somebody typed it; the length never changes.
 */
size_t
people_spell(char *out, const Address *address, Spelling spelling)
{
	bool word_start = true;

	memcpy(out, address->text, address->length);
	if (spelling == SPELLING_UPPER)
	{
		for (int i = 0; i < address->at; i++)
			out[i] = upper(out[i]);
	}
	else if (spelling != SPELLING_LOWER)
	{
		int from = spelling == SPELLING_DOMAIN ? address->at : 0;
		int to = spelling == SPELLING_DOMAIN ? address->length : address->at;

		for (int i = from; i < to; i++)
		{
			if (word_start)
				out[i] = upper(out[i]);
			word_start = strchr(".-'@+", out[i]) != NULL;
		}
	}
	return address->length;
}
