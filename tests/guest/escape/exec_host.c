// A host path executed by any means. What is in the view may run, but under our kernel.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    char script[512], *sh[] = {"/bin/sh", "-c", script, 0}, *env[] = {0};
    snprintf(script, sizeof script, "echo overwritten > %s; cat %s", canary, canary);
    char program[512];
    snprintf(program, sizeof program, "%s/program", canary_dir); // the host has an executable there
    const char *paths[] = {program, "/proc/self/root", "/proc/1/exe", "/proc/self/fd/0", "/../../bin/sh"};
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
        IN_CHILD({ RAW(SYS_execve, paths[i], sh, env); });
        IN_CHILD({ STUB_RAW(SYS_execve, paths[i], sh, env); });
        IN_CHILD({ RAW(SYS_execveat, AT_FDCWD, paths[i], sh, env, 0); });
        IN_CHILD({ STUB_RAW(SYS_execveat, AT_FDCWD, paths[i], sh, env, 0); });
    }
    for (int fd = 0; fd < 64; fd++) {
        IN_CHILD({ RAW(SYS_execveat, fd, "", sh, env, AT_EMPTY_PATH); });
        IN_CHILD({ STUB_RAW(SYS_execveat, fd, "", sh, env, AT_EMPTY_PATH); });
    }
    // /bin/sh of the view runs, and writes to a file of the sandbox at most.
    IN_CHILD({ close(1); execve(sh[0], sh, env); });
    IN_CHILD({ close(1); if (vfork() == 0) { execve(sh[0], sh, env); _exit(0); } wait(0); });
    // uselib, and a program with an interpreter that only the host has.
    IN_CHILD({ RAW(SYS_uselib, program); });
    int fd = open("/tmp/script", O_WRONLY | O_CREAT, 0755);
    dprintf(fd, "#!%s\n", program);
    close(fd);
    int status = IN_CHILD({ execl("/tmp/script", "script", (char *)0); _exit(3); });
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
        escaped("an interpreter of the host ran (status %#x)", status);
    contained();
}
