/* A thread cannot take back a lower priority without a privilege, and posix_spawn() cannot be told one (it takes real-time policies
 * only), hence a thread for nothing but starting processes: who asks hands over the arguments and sleeps until it is done. */
#include "server/sched.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT_TURN_NS 100000 /* the least that the kernel gives */

/* sched_setattr(2); not in the libraries of today */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

struct launch {
	pid_t *out;
	const char *path;
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attributes;
	char *const *argv, *const *environment;
	int result;
	bool done;
	struct launch *next;
};

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	pthread_cond_t added, done;
	struct launch *first, **last;
	int failed; /* errno of starting the thread */
} launcher = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER, .added = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .last = &launcher.first};

void srv_sched_short_turns(bool on)
{
	struct attributes a = {.size = 0};

	/* under another policy (chrt) this field means another thing */
	if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) != 0 || a.policy != SCHED_OTHER)
		return;
	a.runtime = on ? SHORT_TURN_NS : 0;
	(void)syscall(SYS_sched_setattr, 0, &a, 0);
}

static struct launch *take(void)
{
	struct launch *l;

	pthread_mutex_lock(&launcher.lock);
	while (launcher.first == NULL)
		pthread_cond_wait(&launcher.added, &launcher.lock);
	l = launcher.first;
	launcher.first = l->next;
	if (launcher.first == NULL)
		launcher.last = &launcher.first;
	pthread_mutex_unlock(&launcher.lock);
	return l;
}

static void *launcher_main(void *unused)
{
	struct launch *l;

	(void)unused;
	srv_sched_short_turns(false);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + SRV_ENGINE_NICE);
	while ((l = take()) != NULL) {
		int r = posix_spawn(l->out, l->path, l->actions, l->attributes, l->argv, l->environment);

		pthread_mutex_lock(&launcher.lock);
		l->result = r;
		l->done = true; /* after the unlock it is gone */
		pthread_cond_broadcast(&launcher.done);
		pthread_mutex_unlock(&launcher.lock);
	}
	return NULL;
}

static void start(void)
{
	pthread_t thread;

	launcher.failed = pthread_create(&thread, NULL, launcher_main, NULL);
	if (launcher.failed == 0)
		(void)pthread_detach(thread);
}

int srv_sched_spawn(pid_t *out, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[], char *const environment[])
{
	struct launch l = {out, path, actions, attributes, argv, environment, 0, false, NULL};

	(void)pthread_once(&launcher.once, start);
	if (launcher.failed != 0)
		return launcher.failed;
	pthread_mutex_lock(&launcher.lock);
	*launcher.last = &l;
	launcher.last = &l.next;
	pthread_cond_signal(&launcher.added);
	while (!l.done)
		pthread_cond_wait(&launcher.done, &launcher.lock);
	pthread_mutex_unlock(&launcher.lock);
	return l.result;
}
