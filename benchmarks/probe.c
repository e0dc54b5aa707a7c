// Measures itself: probe WHAT COUNT [PROGRAM ARG...] prints nanoseconds per operation.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void need(int condition, const char *what) {
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static void ends(pid_t pid) {
    int status;
    need(waitpid(pid, &status, 0) == pid, "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 127) {
        fprintf(stderr, "the child ended with status %#x\n", status);
        exit(1);
    }
}

static void ping_pong(long n) {
    int there[2], back[2];
    char byte = 'x';
    need(!pipe(there) && !pipe(back), "pipe");
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0) {
        for (long i = 0; i < n; i++)
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(127);
        _exit(0);
    }
    double start = now();
    for (long i = 0; i < n; i++) need(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping");
    printf("%.1f\n", (now() - start) / n);
    ends(pid);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *what = argv[1];
    long n = atol(argv[2]);
    struct stat st;
    if (!strcmp(what, "pipe")) {
        ping_pong(n);
        return 0;
    }
    double start = now();
    for (long i = 0; i < n; i++) {
        if (!strcmp(what, "getppid")) {
            syscall(SYS_getppid);
        } else if (!strcmp(what, "stat")) {
            need(!stat("/usr/share/common-licenses/GPL-3", &st), "stat");
        } else if (!strcmp(what, "open+close")) {
            int fd = open("/usr/share/common-licenses/GPL-3", O_RDONLY);
            need(fd >= 0 && !close(fd), "open");
        } else if (!strcmp(what, "fork")) {
            pid_t pid = fork();
            need(pid >= 0, "fork");
            if (pid == 0) _exit(0);
            ends(pid);
        } else if (!strcmp(what, "spawn") && argc > 3) {
            posix_spawn_file_actions_t actions;
            posix_spawn_file_actions_init(&actions);
            posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
            pid_t pid;
            need(!posix_spawn(&pid, argv[3], &actions, NULL, argv + 3, environ), argv[3]);
            ends(pid);
            posix_spawn_file_actions_destroy(&actions);
        } else {
            return 2;
        }
    }
    printf("%.1f\n", (now() - start) / n);
    return 0;
}
