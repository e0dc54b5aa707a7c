// POSIX message queues: priorities, waiting both ways, signals that interrupt and restart, notification, polling.
#include "check.h"
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>

static char name[64], text[64];
static volatile sig_atomic_t seen;
static void count(int signo) { (void)signo, seen++; }
static void told(int signo, siginfo_t *i, void *context) {
    (void)context;
    printf("signal %d code %d value %d\n", signo, i->si_code, i->si_value.sival_int);
}
static sem_t ran;
static int told_value;
static void in_a_thread(union sigval value) {
    told_value = value.sival_int;
    sem_post(&ran);
}
static void alarm_in(long us, int flags) {
    struct sigaction action = {.sa_handler = count, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval t = {{0, 0}, {0, us}};
    setitimer(ITIMER_REAL, &t, NULL);
}
static struct timespec in_ms(long ms) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000, t.tv_nsec %= 1000000000;
    return t;
}
static void get(mqd_t q) {
    unsigned priority = 0;
    ssize_t n = mq_receive(q, text, sizeof text, &priority);
    printf("%.*s at %u\n", (int)n, text, priority);
}
static int holds(mqd_t q) {
    struct mq_attr now;
    mq_getattr(q, &now);
    return now.mq_curmsgs;
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    snprintf(name, sizeof name, "/pylitebox-%d", getpid());
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = sizeof text}, old;
    FAILS(mq_open(name, O_RDWR)), FAILS(mq_open("noslash", O_RDWR)), FAILS(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    FAILS(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr));

    // a receiver that waits, a sender that waits
    pid_t pid = fork();
    if (!pid) {
        for (int i = 0; i < 6; i++)
            if (mq_receive(q, text, sizeof text, NULL) != 12) _exit(1);
        _exit(0);
    }
    for (int i = 0; i < 6; i++) SHOW(mq_send(q, "to the child", 12, 0)), nap(5);
    show_status("receiver", status_of(pid));
    pid = fork();
    if (!pid) {
        for (int i = 0; i < 6; i++)
            if (mq_send(q, "child", 5, i)) _exit(1);
        _exit(0);
    }
    while (holds(q) != 2) nap(1);
    nap(10);
    for (int i = 0; i < 6; i++) SHOW(mq_receive(q, text, sizeof text, NULL));
    show_status("sender", status_of(pid));

    // time and signals
    struct timespec soon = in_ms(20);
    FAILS(mq_timedreceive(q, text, sizeof text, NULL, &soon));
    soon.tv_nsec = -1;
    FAILS(mq_timedreceive(q, text, sizeof text, NULL, &soon));
    alarm_in(20000, 0);
    FAILS(mq_receive(q, text, sizeof text, NULL));
    pid = fork();
    if (!pid) {
        nap(60);
        _exit(mq_send(q, "restarted", 9, 3));
    }
    alarm_in(20000, SA_RESTART);
    get(q);
    SHOW(seen), show_status("sender", status_of(pid));
    SHOW(mq_send(q, "1", 1, 0)), SHOW(mq_send(q, "2", 1, 0));
    alarm_in(20000, 0);
    FAILS(mq_send(q, "3", 1, 0));
    soon = in_ms(20);
    FAILS(mq_timedsend(q, "3", 1, 0, &soon));
    struct mq_attr nonblocking = {.mq_flags = O_NONBLOCK};
    SHOW(mq_setattr(q, &nonblocking, &old)), SHOW(old.mq_curmsgs), SHOW(fcntl(q, F_GETFL) & O_NONBLOCK);
    FAILS(mq_send(q, "3", 1, 0));
    get(q), get(q);
    FAILS(mq_receive(q, text, sizeof text, NULL));
    FAILS(mq_receive(q, text, sizeof text - 1, NULL)), FAILS(mq_send(q, text, sizeof text + 1, 0));

    // readiness
    struct pollfd p = {q, POLLIN | POLLOUT, 0};
    SHOW(poll(&p, 1, 0)), SHOW(p.revents);
    pid = fork();
    if (!pid) {
        nap(10);
        _exit(mq_send(q, "polled", 6, 1));
    }
    p.events = POLLIN;
    SHOW(poll(&p, 1, 5000)), SHOW(p.revents);
    get(q), show_status("sender", status_of(pid));
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET};
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, q, &e)), SHOW(epoll_wait(ep, &e, 1, 0)), SHOW(epoll_wait(ep, &e, 1, 0));

    // notification
    struct sigaction action = {.sa_sigaction = told, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    SHOW(mq_notify(q, &event)), FAILS(mq_notify(q, &event));
    pid = fork();
    if (!pid) {
        FAILS(mq_notify(q, &event)), FAILS(mq_notify(q, NULL));
        _exit(mq_send(q, "x", 1, 0));
    }
    show_status("child", status_of(pid));
    SHOW(mq_send(q, "y", 1, 0));
    get(q), get(q);
    pid = fork();
    if (!pid) {
        SHOW(mq_notify(q, &event));
        _exit(0); // which takes the registration away
    }
    status_of(pid);
    SHOW(mq_notify(q, &event)), SHOW(mq_send(q, "z", 1, 0));
    get(q);
    struct sigevent thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_a_thread, .sigev_value.sival_int = 17};
    for (int i = 0; i < 3; i++) {
        SHOW(mq_notify(q, &thread)), SHOW(mq_send(q, "threaded", 8, i));
        sem_wait(&ran);
        SHOW(told_value), told_value = 0;
        get(q);
    }
    SHOW(mq_unlink(name)), FAILS(mq_unlink(name)), FAILS(mq_open(name, O_RDWR));
    SHOW(mq_close(q)), FAILS(mq_close(q));
    return 0;
}
