// Limits of the host, set from where the stub sets them: only the caller's own memory, and never above its hard limit.
#include "escape.h"
#include <sys/resource.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, none = {0, 0}, some = {1ul << 40, 1ul << 40}, old = {7, 7};
    for (long pid = host_pid - 8; pid < host_pid + 8; pid++)
        for (int resource = -1; resource < 18; resource++) {
            if (pid && STUB_RAW(SYS_prlimit64, pid, resource, &none, 0) == 0)
                escaped("a limit of another process");
        }
    for (int resource = -1; resource < 18; resource++) {
        if (resource == RLIMIT_AS || resource == RLIMIT_DATA)
            continue;
        if (STUB_RAW(SYS_prlimit64, 0, resource, &all, 0) == 0 || STUB_RAW(SYS_prlimit64, 0, resource, &none, 0) == 0 ||
            STUB_RAW(SYS_prlimit64, 0, resource | 1l << 32, &all, 0) == 0)
            escaped("another resource");
    }
    if (STUB_RAW(SYS_prlimit64, 0, RLIMIT_AS, &some, &old) == 0 || old.rlim_cur != 7)
        escaped("the old limit");
    if (STUB_RAW(SYS_prlimit64, 0, RLIMIT_AS, &some, 0))
        puts("a limit of its own cannot be set");
    else if (STUB_RAW(SYS_prlimit64, 0, RLIMIT_AS, &all, 0) == 0)
        escaped("the hard limit was raised");
    if (STUB_RAW(SYS_prlimit64, 0, RLIMIT_DATA, 8, 0) == 0)
        escaped("a limit from nowhere");
    contained();
}
