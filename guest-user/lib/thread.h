/* Threads on stacks of the caller's choice, and a mutex that sleeps in the kernel. */
#ifndef THREAD_H
#define THREAD_H

/* `alive` is 1 from before the start until the kernel clears it, and wakes its waiters, at the thread's exit
 * (CLONE_CHILD_CLEARTID). */
struct thread { volatile int alive; };

/* Runs body(argument) on a new thread whose stack grows down from `top`. Returns the thread's id, or -errno. The thread's
 * frame chain ends in thread_entry. */
long thread_start(struct thread *thread, void *top, void (*body)(void *), void *argument);

/* Waits until the thread has exited. Its stack is free then. */
void thread_join(struct thread *thread);

/* 0 free, 1 held, 2 held and perhaps waited for: unlock asks the kernel only in the last case. */
struct mutex { volatile int state; };

void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

#endif
