/* Who goes first when the processor is short: those who wait for an answer before engines that compute for minutes. Nothing here needs
 * a privilege, and nothing depends on it: where the kernel knows less, answers come later under load, and that is all. */
#ifndef SERVER_SCHED_H
#define SERVER_SCHED_H

#include <spawn.h>
#include <stdbool.h>

/* The calling thread, and every thread that it starts from now on, asks for the processor often and for little at a time: when it
 * wakes it interrupts whoever is in the middle of a longer turn (Linux 6.12, EEVDF's slices). false: as the kernel gives it. */
void srv_sched_short_turns(bool on);

/* posix_spawn(), by a thread that lives as long as the process and runs at SRV_ENGINE_NICE, so that the new process does, too, from its very
 * first instruction: exec and the loader are most of what a short engine costs. Returns 0 or an errno, as posix_spawn() does. */
#define SRV_ENGINE_NICE 19 /* among the processes of a service, a container or a terminal: the kernel weighs those against others as a whole */
int srv_sched_spawn(pid_t *out, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[], char *const environment[]);

#endif
