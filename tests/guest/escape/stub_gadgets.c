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
    static unsigned long gadgets[1024];
    int found = 0, tried = 0;
    for (unsigned long i = 0; i + 1 < size && found < 1024; i++)
        if (copy[i] == 0x0f && copy[i + 1] == 0x05)
            gadgets[found++] = STUB + i;
    // all of them in an order of this run's own, since a slow machine has no time for all
    int all = found * 2 * (int)(sizeof numbers / sizeof *numbers), step = 7919;
    if (all % step == 0)
        step = 7927;
    for (int n = 0, at = time(0) % (all ? all : 1); n < all && time_left(25); n++, at = (at + step) % all, tried++)
        IN_CHILD({
            int pattern = at % 2;
            long nr = numbers[at / 2 % (sizeof numbers / sizeof *numbers)];
            long a = pattern ? AT_FDCWD : (long)canary;
            long b = pattern ? (long)canary : O_RDWR | O_CREAT;
            long c = pattern ? O_RDWR | O_CREAT : 0777;
            register long r10 asm("r10") = 0777;
            register long r8 asm("r8") = 0;
            register long r9 asm("r9") = (long)copy;
            asm volatile("push %7\n push %7\n jmp *%6" ::"a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
                         "c"(gadgets[at / 2 / (sizeof numbers / sizeof *numbers)]), "b"((long)copy), "r"(r9)
                         : "memory");
        });
    printf("%d gadgets in %lu bytes, %d of %d attempts\n", found, size, tried, all);
    contained();
}
