// Processes: fork, vfork, wait in all its forms, groups, sessions, orphans, limits, descriptors over exec.
#include "check.h"
#include <spawn.h>

extern char **environ;

static pid_t child(int code) {
    pid_t pid = fork();
    if (pid == 0) _exit(code);
    return pid;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1) { // over exec: which descriptors are left
        for (int fd = 0; fd < 12; fd++) putchar(fcntl(fd, F_GETFD) < 0 ? '-' : 'o');
        printf(" %s\n", getenv("MARK") ? getenv("MARK") : "none");
        return 0;
    }
    int status;
    siginfo_t info;
    SHOW(getpid() > 1), SHOW(getpgrp() == getpgid(0)), FAILS(wait(&status)), FAILS(waitpid(99999999, &status, 0));
    show_status("plain", status_of(child(3)));
    pid_t a = child(1), b = child(2);
    show_status("second first", status_of(b)), show_status("first", status_of(a));
    a = child(5);
    SHOW(waitid(P_PID, a, &info, WEXITED | WNOWAIT)), SHOW(info.si_status), SHOW(info.si_code == CLD_EXITED);
    struct rusage usage;
    SHOW(wait4(a, &status, 0, &usage) == a), SHOW(WEXITSTATUS(status)), SHOW(usage.ru_utime.tv_sec);
    a = fork();
    if (a == 0) for (;;) pause();
    SHOW(waitpid(a, &status, WNOHANG)), SHOW(waitpid(-1, &status, WNOHANG));
    FAILS(waitid(P_ALL, 0, &info, 0)), FAILS(waitpid(a, &status, 0x1000000));
    kill(a, SIGKILL);
    show_status("killed", status_of(a));

    a = fork();
    if (a == 0) {
        SHOW(setpgid(0, 0)), SHOW(getpgrp() == getpid()), FAILS(setsid());
        b = child(0);
        status_of(b);
        _exit(0);
    }
    SHOW(waitpid(a, &status, 0) == a);
    a = fork();
    if (a == 0) {
        SHOW(setsid() == getpid()), SHOW(getsid(0) == getpid()), FAILS(setpgid(getppid(), 0)), FAILS(setsid());
        _exit(0);
    }
    status_of(a);
    a = fork();
    if (a == 0) { // a whole group is ended
        setpgid(0, 0);
        for (int i = 0; i < 3; i++)
            if (fork() == 0) for (;;) pause();
        kill(0, SIGTERM);
        for (;;) pause();
    }
    show_status("group", status_of(a));

    int fd[2], line[2];
    if (pipe(fd) || pipe2(line, O_CLOEXEC)) return 1;
    a = fork();
    if (a == 0) { // the orphan outlives its parent, and is adopted
        pid_t parent = getpid();
        if (fork() == 0) {
            close(fd[0]);
            while (getppid() == parent) nap(1);
            _exit(write(fd[1], "o", 1) != 1);
        }
        _exit(0);
    }
    status_of(a);
    char byte = 0;
    SHOW(read(fd[0], &byte, 1)), SHOW(byte);

    volatile int changed = 0;
    a = vfork();
    if (a == 0) {
        changed = 1;
        _exit(4);
    }
    SHOW(changed), show_status("vfork", status_of(a));
    char *args[] = {argv[0], "over", NULL}, *env[] = {"MARK=kept", NULL};
    dup2(fd[0], 8), fcntl(8, F_SETFD, FD_CLOEXEC), dup3(fd[0], 10, O_CLOEXEC), dup2(8, 9);
    a = vfork();
    if (a == 0) {
        execve(argv[0], args, env);
        _exit(127);
    }
    show_status("exec", status_of(a));
    SHOW(posix_spawn(&a, "/nope", NULL, NULL, args, environ) == ENOENT);
    FAILS(execve("/", args, environ)), FAILS(execve("/etc/passwd", args, environ)), FAILS(execve("", args, environ));

    struct rlimit limit = {20, 4096};
    SHOW(setrlimit(RLIMIT_NOFILE, &limit)), FAILS(dup2(0, 20)), FAILS(dup2(0, 19));
    limit.rlim_cur = 5000;
    FAILS(setrlimit(RLIMIT_NOFILE, &limit));
    a = fork();
    if (a == 0) _exit((getrlimit(RLIMIT_NOFILE, &limit), (int)limit.rlim_cur));
    show_status("limit in the child", status_of(a));
    SHOW(prctl(PR_SET_NAME, "renamed")), SHOW(prctl(PR_GET_NAME, args)), printf("%.8s\n", (char *)args);
    FAILS(prctl(9999, 0)), FAILS(syscall(9999)), FAILS(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    a = fork();
    if (a == 0) {
        if (fork() == 0) nap(20), _exit(6);
        _exit(0);
    }
    status_of(a);
    SHOW(wait(&status) > 0), show_status("adopted", status);
    abort();
}
