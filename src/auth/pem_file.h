/*-------------------------------------------------------------------------
 *
 * pem_file.h
 *		Small text files of the server's: certificates and keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PEM_FILE_H
#define MSGTRACE_PEM_FILE_H

#include "postgres.h"

/*
 * The path with $NAME and ${NAME} replaced by what the server process's
 * environment has; NULL with the reason in `words` (palloc'd) when it has none
 * or the path is then not absolute.
 */
extern char *msgtrace_pem_file_path(const char *path, char **words);

/* The file's text, which the caller wipes; NULL with the reason in `words`. */
extern char *msgtrace_pem_file_read(const char *path, char **words);

#endif /* MSGTRACE_PEM_FILE_H */
