// ptrace, process_vm_*, pidfd_getfd and friends at host processes.
#include "escape.h"
#include <sys/ptrace.h>
#include <sys/uio.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    static char data[64];
    for (int pid = host_pid - 100; pid < host_pid + 100; pid++) {
        if (pid < 64)
            continue;
        struct iovec here = {data, sizeof data}, there = {(void *)0x400000, sizeof data};
        for (int stub = 0; stub < 2; stub++) {
            long (*call)(long, long, long, long, long, long, long) = stub ? stub_raw : raw;
            if (call(SYS_ptrace, PTRACE_ATTACH, pid, 0, 0, 0, 0) == 0 || call(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0, 0, 0) == 0)
                escaped("ptrace at %d", pid);
            if (call(SYS_process_vm_readv, pid, (long)&here, 1, (long)&there, 1, 0) >= 0 ||
                call(SYS_process_vm_writev, pid, (long)&here, 1, (long)&there, 1, 0) >= 0)
                escaped("memory of %d", pid);
            if (call(SYS_kcmp, pid, pid, 0, 0, 0, 0) >= 0 || call(SYS_move_pages, pid, 0, 0, 0, 0, 0) >= 0)
                escaped("kcmp or move_pages at %d", pid);
            for (int fd = 0; fd < 8; fd++)
                if (call(438, fd, fd, 0, 0, 0, 0) >= 0) // pidfd_getfd
                    escaped("pidfd_getfd");
            if (call(440, 0, (long)&there, 1, 4, 0, 0) >= 0) // process_madvise
                escaped("process_madvise");
        }
    }
    if (RAW(SYS_ptrace, PTRACE_TRACEME) == 0)
        raise(SIGTRAP);
    contained();
}
