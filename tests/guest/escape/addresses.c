// Addresses of the kernel's half, of none, and of a machine's devices and memory: to load, store, jump, stand on, and map.
#include "escape.h"
#include <sys/uio.h>

static unsigned long places[256];
static int count;

static void place(unsigned long address) {
    places[count++] = address & -4096ul;
}

static void dies(const char *how, unsigned long address, int status) {
    if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS))
        escaped("%s %#lx ended with %#x", how, address, status);
}

static void handler(int signo) {
    escaped("a handler of %d ran on a stack that is nowhere", signo);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    for (int bit = 47; bit < 64; bit++)
        place(1ul << bit), place(-(1ul << bit));
    for (unsigned long page = 0; page < 5; page++) // where a monitor has its own pages
        place(0xffffffff80000000 + (page << 12)), place(0xffffffffc0000000 + (page << 12)), place(0xffffffffc0000000 + (page << 21));
    static const unsigned long devices[] = {0, 0xa0000, 0xb8000, 0xf0000, 0xfec00000, 0xfee00000, 0xffff888000000000,
                                            0x7ffffffff000, 0xfffffffffffff000, 0xfffffe0000000000, 1ul << 46, 1ul << 39};
    for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++)
        place(devices[i]);
    int ends[2], zero = open("/dev/zero", O_RDONLY);
    if (pipe2(ends, O_NONBLOCK))
        escaped("pipe2");
    for (int i = 0; i < count; i++) {
        unsigned long at = places[i];
        dies("a load from", at, IN_CHILD({ (void)*(volatile char *)(at + 8); }));
        dies("a store to", at, IN_CHILD({ *(volatile char *)(at + 8) = 1; }));
        dies("a jump to", at, IN_CHILD({ ((void (*)(void))(at + 16))(); }));
        dies("a return to", at, IN_CHILD({ asm volatile("push %0\n ret" ::"r"(at + 16)); }));
        dies("a stack at", at, IN_CHILD({ asm volatile("mov %0, %%rsp\n push %%rax" ::"r"(at + 512)); }));
        dies("a handler's stack at", at, IN_CHILD({
            signal(SIGSEGV, handler), signal(SIGILL, handler);
            asm volatile("mov %0, %%rsp\n ud2" ::"r"(at + 2048));
        }));
        int status = IN_CHILD({ // calls don't need a stack
            long r;
            asm volatile("mov %%rsp, %%rbx\n mov %2, %%rsp\n syscall\n mov %%rbx, %%rsp"
                         : "=a"(r) : "a"(SYS_getppid), "r"(at) : "rbx", "rcx", "r11", "memory");
            _exit(r == getppid() ? 5 : 6);
        });
        if (status != 5 << 8)
            escaped("a call with the stack at %#lx ended with %#x", at, status);
        struct iovec vector = {(void *)at, 8};
        if (RAW(SYS_read, zero, at, 64) != -EFAULT || RAW(SYS_write, ends[1], at, 64) != -EFAULT ||
            RAW(SYS_writev, ends[1], &vector, 1) != -EFAULT || RAW(SYS_open, at, 0) != -EFAULT || RAW(SYS_uname, at) != -EFAULT ||
            (at && RAW(SYS_rt_sigprocmask, 0, at, 0, 8) != -EFAULT) || RAW(SYS_nanosleep, at, 0) != -EFAULT)
            escaped("the kernel reads or writes %#lx", at);
        if (RAW(SYS_mremap, at, 4096, 8192, MREMAP_MAYMOVE) >= 0 || RAW(SYS_mprotect, at, 4096, 7) == 0 ||
            RAW(SYS_madvise, at, 4096, MADV_DONTNEED) == 0)
            escaped("there is a page at %#lx", at);
        if (at > 0x7fffffffe000 && (unsigned long)RAW(SYS_mmap, at, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) < -4095ul)
            escaped("a page at %#lx", at);
        // Segment bases: any that is a guest's, and none that no CPU takes.
        IN_CHILD({ RAW(SYS_arch_prctl, 0x1001, at); });
        if (at > 0x7fffffffffff && (RAW(SYS_arch_prctl, 0x1001, at) == 0 || RAW(SYS_arch_prctl, 0x1002, at) == 0))
            escaped("a segment at %#lx", at);
    }
    // The last page that a guest may have, to its last byte, and across it.
    char *last = mmap((void *)0x7fffffffe000, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (last == (char *)0x7fffffffe000) {
        memset(last, 0x90, 4096);
        dies("running off", 0x7ffffffff000, IN_CHILD({ ((void (*)(void))last)(); }));
        dies("a load across", 0x7ffffffff000, IN_CHILD({ (void)*(volatile long *)(last + 4092); }));
        memcpy(last + 4094, "\x0f\x05", 2);
        dies("a call at the end of", 0x7ffffffff000, IN_CHILD({ asm volatile("jmp *%0" ::"r"(last + 4094), "a"(SYS_getpid)); }));
    }
    contained();
}
