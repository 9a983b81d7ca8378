#include "thread.h"

#include "sys.h"

void thread_join(struct thread *thread)
{
    /* Not FUTEX_PRIVATE: the kernel's own wake at a thread's exit is for shared waiters. */
    while (thread->alive)
        SYSCALL(futex, &thread->alive, FUTEX_WAIT, 1, 0);
}

void mutex_lock(struct mutex *mutex)
{
    int found = 0;

    if (__atomic_compare_exchange_n(&mutex->state, &found, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) != 0)
        SYSCALL(futex, &mutex->state, FUTEX_WAIT | FUTEX_PRIVATE, 2, 0);
}

void mutex_unlock(struct mutex *mutex)
{
    if (__atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2)
        SYSCALL(futex, &mutex->state, FUTEX_WAKE | FUTEX_PRIVATE, 1);
}
