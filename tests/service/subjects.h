/*
 * subjects.h
 *	  What the simulated mail is about.
 */
#ifndef SUBJECTS_H
#define SUBJECTS_H

#include <stddef.h>
#include <stdint.h>

extern size_t subject_write(char *out, uint64_t draw);

#endif
