// The magic links of /proc: root, cwd, exe, fd, of ourselves, of every process that we can name, of the host's pids.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    char path[4096];
    int pids[400], n = 0;
    for (int i = 1; i < 64; i++)
        pids[n++] = i;
    for (int i = -100; i < 100; i++)
        pids[n++] = host_pid + i;
    for (int i = 0; i < n; i++) {
        static const char *inside[] = {"root", "cwd", "root/../../..", "cwd/../../../..", "task/1/root", "fd/3/..", "fd/0/../.."};
        for (unsigned k = 0; k < sizeof inside / sizeof *inside; k++) {
            snprintf(path, sizeof path, "/proc/%d/%s%s", pids[i], inside[k], canary);
            try_open(path);
        }
        for (int fd = 0; fd < 16; fd++) {
            snprintf(path, sizeof path, "/proc/%d/fd/%d", pids[i], fd);
            if (pids[i] > 64 || fd > 2)
                try_open(path);
        }
        snprintf(path, sizeof path, "/proc/%d/mem", pids[i]);
        if (pids[i] != getpid() && open(path, O_RDWR) >= 0)
            escaped("%s opens", path);
        snprintf(path, sizeof path, "/proc/%d/environ", pids[i]);
        int fd = open(path, O_RDONLY);
        char data[4096];
        long got = fd >= 0 ? read(fd, data, sizeof data - 1) : 0;
        if (got > 0 && memmem(data, got, "PYLITEBOX_TEST_SECRET", 21))
            escaped("%s is a host process's", path);
        if (fd >= 0)
            close(fd);
    }
    static const char *exe[] = {"/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"};
    for (unsigned i = 0; i < 3; i++) { // CVE-2019-5736
        int fd = open(exe[i], O_WRONLY);
        if (fd >= 0 && write(fd, "x", 1) == 1 && i == 1)
            escaped("%s can be written", exe[i]);
        fd = open(exe[i], O_PATH);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        open(path, O_WRONLY | O_TRUNC);
    }
    contained();
}
