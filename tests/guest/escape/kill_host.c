// Signals at host processes: the supervisor's pid is near the one that we know.
#include "escape.h"
#include <sys/prctl.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    for (int pid = host_pid - 200; pid < host_pid + 200; pid++) {
        if (pid < 64)
            continue;
        siginfo_t info = {.si_signo = SIGKILL, .si_code = SI_QUEUE};
        if (!kill(pid, SIGKILL) || !RAW(SYS_tkill, pid, SIGKILL) || !RAW(SYS_tgkill, pid, pid, SIGKILL) ||
            !RAW(SYS_rt_sigqueueinfo, pid, SIGKILL, &info) || !RAW(SYS_rt_tgsigqueueinfo, pid, pid, SIGKILL, &info) ||
            !kill(-pid, SIGKILL))
            escaped("a signal reached %d", pid);
        if (!STUB_RAW(SYS_kill, pid, SIGKILL) || !STUB_RAW(SYS_tkill, pid, SIGKILL) || !STUB_RAW(SYS_tgkill, pid, pid, SIGKILL))
            escaped("a signal from the stub's addresses reached %d", pid);
        int fd = RAW(SYS_pidfd_open, pid, 0);
        if (fd >= 0 || STUB_RAW(SYS_pidfd_open, pid, 0) >= 0)
            escaped("a pidfd of %d", pid);
        if (!RAW(SYS_setpgid, pid, 0) || RAW(SYS_getsid, pid) > 0 || !RAW(SYS_sched_setaffinity, pid, 8, "\1\0\0\0\0\0\0\0"))
            escaped("process %d is known", pid);
        unsigned long limit[2] = {1, 1};
        if (!RAW(SYS_prlimit64, pid, 7, limit, 0) || !RAW(SYS_setpriority, 0, pid, 19))
            escaped("limits of %d", pid);
    }
    // SIGIO to a host process, and its death signal.
    int ends[2];
    if (pipe(ends) == 0) {
        fcntl(ends[0], F_SETOWN, host_pid);
        fcntl(ends[0], F_SETSIG, SIGKILL);
        fcntl(ends[0], F_SETFL, O_ASYNC);
        (void)!write(ends[1], "x", 1);
    }
    kill(-1, SIGKILL); // all that we can see but ourselves
    STUB_RAW(SYS_kill, -1, SIGKILL);
    contained();
}
