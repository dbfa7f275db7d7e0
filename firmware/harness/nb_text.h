// SPDX-License-Identifier: Apache-2.0
/* Text out and numbers in, without stdio: a few hundred bytes of flash. */
#ifndef NB_TEXT_H
#define NB_TEXT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void nb_put_text(const char *text);
void nb_put_line(const char *text);   /* with CR LF */
void nb_put_error(const char *text);  /* a line e-[text] */
void nb_put_unsigned(uint64_t value); /* decimal */
void nb_put_hex(uint32_t value, uint32_t digits);
void nb_put_thousandths(int32_t value);    /* 1234 -> 1.234 */
void nb_put_json_string(const char *text); /* quoted; quotes, backslashes, controls escaped */
void nb_put_key(const char *key);          /* "key": */
void nb_put_pair(const char *key, uint64_t value);   /* "key":value */
void nb_next_pair(const char *key, uint64_t value);  /* ,"key":value */
void nb_put_count(const char *text, uint64_t value); /* a line: text, then the number */

/* Reads on to the end of a command and forgets it. Returns NB_PORT_END or 0. */
int nb_skip_command(void);

/* 0-15, or -1 where `byte` is no hexadecimal digit. */
int nb_hex_digit(int byte);

/* Reads a decimal number at *text and the blanks around it, advances *text.
 * Returns 0 where there is no digit or the number is above UINT32_MAX. */
int nb_get_unsigned(const char **text, uint32_t *value);

#ifdef __cplusplus
}
#endif

#endif
