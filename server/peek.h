/* One string out of a JSON object's text, for the two words that the daemon itself needs of an event ("phase", "level"). */
#ifndef SERVER_PEEK_H
#define SERVER_PEEK_H

#include <stdbool.h>
#include <stddef.h>

/* Copies the value of a top-level member that is a string without escapes into out; false if there is none, or it does not fit. json is valid JSON. */
bool srv_peek_string(const char *json, const char *key, char *out, size_t cap);

#endif
