// Jumps to each syscall instruction of the stub with all registers set, for each number that could hurt.
#define CHILD_MS 30 // many of these end in a loop of the stub's
#include "escape.h"

static const int numbers[] = {SYS_open, SYS_openat, SYS_execve, SYS_execveat, SYS_socket, SYS_kill, SYS_tgkill, SYS_ptrace,
                              SYS_clone, SYS_clone3, SYS_mmap, SYS_prctl, SYS_seccomp, SYS_sendmsg, SYS_rt_sigreturn,
                              SYS_close, SYS_unlink, SYS_process_vm_writev, SYS_lseek, SYS_setsid, SYS_fork};

int main(int argc, char **argv) {
    begin(argc, argv);
    static unsigned char copy[0x40000];
    unsigned long size = 0; // how much of the stub can be read: write() checks it for us
    int ends[2];
    if (pipe(ends))
        escaped("pipe");
    while (size < sizeof copy && write(ends[1], (void *)(STUB + size), 4096) == 4096) {
        if (read(ends[0], copy + size, 4096) != 4096)
            break;
        size += 4096;
    }
    int found = 0;
    for (unsigned long i = 0; i + 1 < size; i++) {
        if (copy[i] != 0x0f || copy[i + 1] != 0x05)
            continue;
        found++;
        for (unsigned k = 0; k < sizeof numbers / sizeof *numbers; k++)
            for (int pattern = 0; pattern < 2; pattern++)
                IN_CHILD({
                    long nr = numbers[k];
                    long a = pattern ? AT_FDCWD : (long)canary;
                    long b = pattern ? (long)canary : O_RDWR | O_CREAT;
                    long c = pattern ? O_RDWR | O_CREAT : 0777;
                    register long r10 asm("r10") = 0777;
                    register long r8 asm("r8") = 0;
                    register long r9 asm("r9") = (long)copy;
                    asm volatile("push %7\n push %7\n jmp *%6" ::"a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
                                 "c"(STUB + i), "b"((long)copy), "r"(r9)
                                 : "memory");
                });
    }
    printf("%d gadgets in %lu bytes\n", found, size);
    contained();
}
