// The second part in C of the stress mix: a job group that is stopped, continued and ended as a whole, timers of three
// kinds, an epoll set over AF_UNIX sockets with descriptors passed around. Prints how many processes it made.
// Usage: commotion JOBS STOPS MESSAGES
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            exit(1); \
        } \
    } while (0)

static volatile sig_atomic_t alarms, ticks, continued;
static void on_signal(int signo) {
    if (signo == SIGALRM) alarms++;
    else if (signo == SIGCONT) continued++;
    else ticks++;
}

// A group of `jobs` processes that count in different ways: computing, sleeping, in a pipe, polling.
static void group(int jobs, int stops) {
    int fd[2];
    CHECK(pipe(fd) == 0);
    pid_t leader = 0, pids[64];
    for (int i = 0; i < jobs; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            setpgid(0, leader);
            struct sigaction action = {.sa_handler = on_signal, .sa_flags = i % 2 ? SA_RESTART : 0};
            CHECK(sigaction(SIGCONT, &action, NULL) == 0);
            CHECK(write(fd[1], "r", 1) == 1);
            for (volatile uint64_t n = 0;; n++) {
                char byte;
                if (i % 4 == 1) nanosleep(&(struct timespec){0, 1000000}, NULL);
                if (i % 4 == 2) CHECK(read(fd[0], &byte, 0) == 0 || errno == EINTR);
                if (i % 4 == 3) usleep(500), getppid();
            }
        }
        if (!leader) leader = pid;
        CHECK(setpgid(pid, leader) == 0 || errno == EACCES);
        pids[i] = pid;
    }
    for (int i = 0; i < jobs; i++) {
        char byte;
        CHECK(read(fd[0], &byte, 1) == 1);
    }
    for (int n = 0; n < stops; n++) {
        CHECK(kill(-leader, n % 2 ? SIGTSTP : SIGSTOP) == 0);
        for (int i = 0; i < jobs; i++) {
            int status;
            pid_t pid = waitpid(pids[i], &status, WUNTRACED);
            CHECK(pid == pids[i] && WIFSTOPPED(status) && WSTOPSIG(status) == (n % 2 ? SIGTSTP : SIGSTOP));
        }
        CHECK(waitpid(-leader, NULL, WNOHANG | WUNTRACED) == 0); // told once
        CHECK(kill(-leader, SIGCONT) == 0);
        for (int i = 0; i < jobs; i++) {
            siginfo_t info;
            CHECK(waitid(P_PID, pids[i], &info, WCONTINUED) == 0 && info.si_code == CLD_CONTINUED);
        }
    }
    CHECK(kill(-leader, SIGSTOP) == 0 && kill(-leader, SIGTERM) == 0 && kill(-leader, SIGCONT) == 0);
    for (int i = 0; i < jobs; i++) {
        int status;
        CHECK(waitpid(-leader, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    }
    CHECK(kill(-leader, 0) < 0 && errno == ESRCH);
    close(fd[0]), close(fd[1]);
}

static void timers(void) {
    struct sigaction action = {.sa_handler = on_signal};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGRTMIN, &action, NULL) == 0);
    struct itimerval every = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    struct itimerspec period = {{0, 1500000}, {0, 1500000}}, none = {{0, 0}, {0, 0}};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK(fd >= 0 && timerfd_settime(fd, 0, &period, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0 && timer_settime(timer, 0, &period, NULL) == 0);
    uint64_t total = 0, count;
    while (total < 6 || alarms < 5 || ticks < 5) {
        ssize_t size = read(fd, &count, 8); // interrupted often
        CHECK(size == 8 || errno == EINTR);
        if (size == 8) total += count;
    }
    CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0 && timer_settime(timer, 0, &none, NULL) == 0);
    CHECK(timer_delete(timer) == 0 && close(fd) == 0);
}

static void pass(int to, int fd) {
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {"d", 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CHECK(sendmsg(to, &message, 0) == 1);
}
static int received(int from) {
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd = -1;
    CHECK(recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message));
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

// Three children echo over sockets that one epoll set watches, and get an eventfd to count on.
static void sockets(int messages) {
    int ends[3], set = epoll_create1(EPOLL_CLOEXEC), counter = eventfd(0, 0);
    CHECK(set >= 0 && counter >= 0);
    for (int i = 0; i < 3; i++) {
        int pair[2], type = i == 0 ? SOCK_STREAM : i == 1 ? SOCK_SEQPACKET : SOCK_DGRAM;
        CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            close(pair[0]), close(counter);
            for (int n = 0; n < i; n++) close(ends[n]);
            int own = received(pair[1]);
            for (int n = 0; n < messages; n++) {
                int number;
                uint64_t one = 1;
                CHECK(recv(pair[1], &number, sizeof number, MSG_WAITALL) == sizeof number);
                CHECK(write(own, &one, 8) == 8);
                number += 1000;
                CHECK(send(pair[1], &number, sizeof number, 0) == sizeof number);
            }
            _exit(7);
        }
        close(pair[1]), pass(pair[0], counter);
        ends[i] = pair[0];
        struct epoll_event event = {.events = EPOLLIN | (i ? EPOLLET : 0u), .data.u32 = (uint32_t)i};
        CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[i], &event) == 0);
        int first = 0;
        CHECK(send(ends[i], &first, sizeof first, 0) == sizeof first);
    }
    int next[3] = {0, 0, 0}, done = 0;
    while (done < 3) {
        struct epoll_event events[3];
        int n = epoll_wait(set, events, 3, 20000);
        CHECK(n > 0);
        for (int k = 0; k < n; k++) {
            uint32_t i = events[k].data.u32;
            int number;
            ssize_t size;
            while ((size = recv(ends[i], &number, sizeof number, MSG_DONTWAIT)) == sizeof number) {
                CHECK(number == next[i] + 1000);
                if (++next[i] < messages) CHECK(send(ends[i], &next[i], sizeof next[i], 0) == sizeof next[i]);
                else if (next[i] == messages) {
                    done++;
                    CHECK(epoll_ctl(set, EPOLL_CTL_DEL, ends[i], NULL) == 0);
                    break;
                }
            }
            CHECK(size == sizeof number || errno == EAGAIN);
        }
    }
    uint64_t counted;
    CHECK(read(counter, &counted, 8) == 8 && counted == 3u * (unsigned)messages);
    for (int i = 0; i < 3; i++) {
        int status;
        CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 7);
        close(ends[i]);
    }
    close(set), close(counter);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int jobs = atoi(argv[1]);
    group(jobs, atoi(argv[2]));
    timers();
    sockets(atoi(argv[3]));
    printf("%d\n", jobs + 3);
    return 0;
}
