// Segments, far transfers, and signal frames with registers that a CPU would not take, or that would be a kernel's.
#include "escape.h"
#include <ucontext.h>

static unsigned char privileged[] = {0xfa, 0xc3}; // cli

static void dies(const char *how, unsigned long what, int status) {
    if (!WIFSIGNALED(status))
        escaped("%s %#lx ended with %#x", how, what, status);
}

static ucontext_t changed;
static int index_, through;
static unsigned long value;

static void change(int signo, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *at = context;
    if (signo == SIGUSR1)
        at->uc_mcontext.gregs[index_] = value;
    else
        _exit(through ? 5 : signo);
}

static void *page(void) {
    unsigned char *p = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(p, privileged, sizeof privileged);
    return p;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    void *cli = page();
    // Far returns, jumps, calls and interrupts' returns to each selector: none leaves ring 3.
    for (unsigned long selector = 0; selector < 0x80; selector++) {
        dies("lretq to", selector, IN_CHILD({ asm volatile("push %0\n push %1\n lretq" ::"r"(selector), "r"(cli)); }));
        dies("iretq to", selector, IN_CHILD({
            asm volatile("mov %%rsp, %%rax\n push $0x2b\n push %%rax\n push $0x3202\n push %0\n push %1\n iretq" ::"r"(selector),
                         "r"(cli) : "rax");
        }));
        dies("iretq with the stack of", selector, IN_CHILD({
            asm volatile("mov %%rsp, %%rax\n push %0\n push %%rax\n push $0x3202\n push $0x33\n push %1\n iretq" ::"r"(selector),
                         "r"(cli) : "rax");
        }));
        dies("ljmp to", selector, IN_CHILD({
            struct { unsigned long to; unsigned short selector; } far = {(unsigned long)cli, selector};
            asm volatile("rex.W ljmp *%0" ::"m"(far));
        }));
        dies("lcall to", selector, IN_CHILD({
            struct { unsigned long to; unsigned short selector; } far = {(unsigned long)cli, selector};
            asm volatile("rex.W lcall *%0" ::"m"(far));
        }));
        for (int segment = 0; segment < 5; segment++)
            IN_CHILD({ // what may be loaded gives no right
                switch (segment) {
                case 0: asm volatile("mov %0, %%ds" ::"r"(selector)); break;
                case 1: asm volatile("mov %0, %%es" ::"r"(selector)); break;
                case 2: asm volatile("mov %0, %%fs\n mov %%fs:0, %%rax" ::"r"(selector) : "rax"); break;
                case 3: asm volatile("mov %0, %%gs\n mov %%gs:0, %%rax" ::"r"(selector) : "rax"); break;
                case 4: asm volatile("mov %0, %%ss\n syscall" ::"r"(selector), "a"(SYS_getpid) : "rcx", "r11"); break;
                }
                asm volatile("cli");
                escaped("cli after a load of %#lx", selector);
            });
    }
    // Frames: an instruction pointer, a stack pointer and flags of no guest's, then an instruction of a kernel's.
    static const unsigned long addresses[] = {0x800000000000, 0xffff800000000000, 0xffffffff80000000, 0xffffffff80000001,
                                              0xffffffffc0000000, 1ul << 63, ~0ul, 0x7ffffffff000, 0, 0x8000000000000000};
    static const unsigned long flags[] = {0x3202, 0x3000, 0, ~0ul, 0x100, 0x4000, 0x20000, 0x80000, 0x100000, 0x40000, 0x10202, 0x302};
    static char stack[1 << 15];
    for (int kind = 0; kind < 3; kind++)
        for (unsigned i = 0; i < (kind < 2 ? sizeof addresses : sizeof flags) / sizeof(long); i++) {
            int status = IN_CHILD({
                struct sigaction action = {.sa_sigaction = change, .sa_flags = SA_SIGINFO | SA_ONSTACK};
                sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, 0);
                sigaction(SIGUSR1, &action, 0), sigaction(SIGSEGV, &action, 0), sigaction(SIGTRAP, &action, 0), sigaction(SIGBUS, &action, 0);
                index_ = kind == 0 ? REG_RIP : kind == 1 ? REG_RSP : REG_EFL;
                value = kind < 2 ? addresses[i] : flags[i];
                through = 1;
                asm volatile("syscall\n cli" ::"a"(SYS_tgkill), "D"(getpid()), "S"(RAW(SYS_gettid)), "d"(SIGUSR1) : "rcx", "r11", "memory");
                escaped("cli after a frame with %#lx", value);
            });
            if (status != 5 << 8 && !WIFSIGNALED(status))
                escaped("a frame with register %d %#lx ended with %#x", kind, kind < 2 ? addresses[i] : flags[i], status);
        }
    // A frame with each selector for code and stack.
    for (unsigned long selector = 0; selector < 0x80; selector++)
        IN_CHILD({
            struct sigaction action = {.sa_sigaction = change, .sa_flags = SA_SIGINFO | SA_ONSTACK};
            sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, 0);
            sigaction(SIGUSR1, &action, 0), sigaction(SIGSEGV, &action, 0), sigaction(SIGBUS, &action, 0);
            index_ = REG_CSGSFS, value = selector | selector << 48, through = 1;
            asm volatile("syscall\n cli" ::"a"(SYS_tgkill), "D"(getpid()), "S"(RAW(SYS_gettid)), "d"(SIGUSR1) : "rcx", "r11", "memory");
            escaped("cli after a frame with selector %#lx", selector);
        });
    // Single steps into a call, behind a stack segment's load, and a step that no handler takes.
    for (int kind = 0; kind < 3; kind++)
        IN_CHILD({
            if (kind)
                signal(SIGTRAP, SIG_IGN);
            if (kind == 2)
                asm volatile("pushf\n orq $0x100, (%%rsp)\n mov %%ss, %%ebx\n popf\n mov %%ebx, %%ss\n syscall\n nop" ::"a"(SYS_getpid)
                             : "rbx", "rcx", "r11", "memory");
            else
                asm volatile("pushf\n orq $0x100, (%%rsp)\n popf\n syscall\n nop" ::"a"(SYS_getpid) : "rcx", "r11", "memory");
        });
    // Alignment checks, on: the kernel's half is not ours for that.
    IN_CHILD({
        asm volatile("pushf\n orq $0x40000, (%%rsp)\n popf\n syscall\n" ::"a"(SYS_getpid) : "rcx", "r11", "memory");
        *(volatile long *)0xffffffff80000000 = 1;
        escaped("a store to the kernel's half");
    });
    contained();
}
