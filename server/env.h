/* The real clocks and the kernel's random numbers, for every layer that asks for a struct pare_env. */
#ifndef SERVER_ENV_H
#define SERVER_ENV_H

#include "core/base/env.h"

extern const struct pare_env srv_env;

#endif
