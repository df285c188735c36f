/*
 * digits.c
 *	  Numbers written in decimal, fast: pages hold several of them in each row.
 */
#include "digits.h"

size_t
digits_write(char *out, uint64_t number)
{
	char digits[20];
	size_t count = 0;

	do
	{
		digits[count++] = (char) ('0' + number % 10);
		number /= 10;
	} while (number > 0);
	for (size_t i = 0; i < count; i++)
		out[i] = digits[count - 1 - i];
	return count;
}
