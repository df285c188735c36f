/*
 * form.h
 *	  The fields of a form that was posted.
 */
#ifndef FORM_H
#define FORM_H

#define FORM_FIELDS 20

typedef struct Form
{
	int count;
	char *names[FORM_FIELDS];
	char *values[FORM_FIELDS]; /* decoded */
} Form;

extern void form_read(Form *form, const char *body);
extern const char *form_value(const Form *form, const char *name);
extern void form_free(Form *form);

#endif
