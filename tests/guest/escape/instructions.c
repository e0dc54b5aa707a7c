// Instructions that are a kernel's, that reach a host, or that no CPU has: each gives its signal, and does nothing.
#include "escape.h"
#include <ucontext.h>

enum { ANY = -1, MAY_RUN = 0 }; // any of the signals; or none, where it only tells something

static const struct attempt {
    const char *name;
    int signo;
    unsigned char size, code[15];
} attempts[] = {
    {"hlt", SIGSEGV, 1, {0xf4}},
    {"cli", SIGSEGV, 1, {0xfa}},
    {"sti", SIGSEGV, 1, {0xfb}},
    {"mov %cr0,%rax", SIGSEGV, 3, {0x0f, 0x20, 0xc0}},
    {"mov %rax,%cr0", SIGSEGV, 3, {0x0f, 0x22, 0xc0}},
    {"mov %cr2,%rax", SIGSEGV, 3, {0x0f, 0x20, 0xd0}},
    {"mov %rax,%cr2", SIGSEGV, 3, {0x0f, 0x22, 0xd0}},
    {"mov %cr3,%rax", SIGSEGV, 3, {0x0f, 0x20, 0xd8}},
    {"mov %rax,%cr3", SIGSEGV, 3, {0x0f, 0x22, 0xd8}},
    {"mov %cr4,%rax", SIGSEGV, 3, {0x0f, 0x20, 0xe0}},
    {"mov %rax,%cr4", SIGSEGV, 3, {0x0f, 0x22, 0xe0}},
    {"mov %cr8,%rax", SIGSEGV, 4, {0x44, 0x0f, 0x20, 0xc0}},
    {"mov %rax,%cr8", SIGSEGV, 4, {0x44, 0x0f, 0x22, 0xc0}},
    {"mov %rax,%cr1", ANY, 3, {0x0f, 0x22, 0xc8}},
    {"mov %dr0,%rax", SIGSEGV, 3, {0x0f, 0x21, 0xc0}},
    {"mov %rax,%dr0", SIGSEGV, 3, {0x0f, 0x23, 0xc0}},
    {"mov %rax,%dr7", SIGSEGV, 3, {0x0f, 0x23, 0xf8}},
    {"in $0x60,%al", SIGSEGV, 2, {0xe4, 0x60}},
    {"in $0x60,%eax", SIGSEGV, 2, {0xe5, 0x60}},
    {"in %dx,%al", SIGSEGV, 1, {0xec}},
    {"in %dx,%ax", SIGSEGV, 2, {0x66, 0xed}},
    {"in %dx,%eax", SIGSEGV, 1, {0xed}},
    {"out %al,$0x64", SIGSEGV, 2, {0xe6, 0x64}},
    {"out %eax,$0x64", SIGSEGV, 2, {0xe7, 0x64}},
    {"out %al,%dx", SIGSEGV, 1, {0xee}},
    {"out %ax,%dx", SIGSEGV, 2, {0x66, 0xef}},
    {"out %eax,%dx", SIGSEGV, 1, {0xef}},
    {"insb", SIGSEGV, 1, {0x6c}},
    {"insl", SIGSEGV, 1, {0x6d}},
    {"outsb", SIGSEGV, 1, {0x6e}},
    {"outsl", SIGSEGV, 1, {0x6f}},
    {"rep insb", SIGSEGV, 2, {0xf3, 0x6c}},
    {"rep outsl", SIGSEGV, 2, {0xf3, 0x6f}},
    {"rdmsr", SIGSEGV, 2, {0x0f, 0x32}},
    {"wrmsr", SIGSEGV, 2, {0x0f, 0x30}},
    {"rdpmc", ANY, 2, {0x0f, 0x33}},
    {"lgdt (%rax)", SIGSEGV, 3, {0x0f, 0x01, 0x10}},
    {"lidt (%rax)", SIGSEGV, 3, {0x0f, 0x01, 0x18}},
    {"lldt %ax", SIGSEGV, 3, {0x0f, 0x00, 0xd0}},
    {"ltr %ax", SIGSEGV, 3, {0x0f, 0x00, 0xd8}},
    {"lmsw %ax", SIGSEGV, 3, {0x0f, 0x01, 0xf0}},
    {"clts", SIGSEGV, 2, {0x0f, 0x06}},
    {"invlpg (%rax)", SIGSEGV, 3, {0x0f, 0x01, 0x38}},
    {"invpcid (%rax),%rax", ANY, 5, {0x66, 0x0f, 0x38, 0x82, 0x00}},
    {"invd", SIGSEGV, 2, {0x0f, 0x08}},
    {"wbinvd", SIGSEGV, 2, {0x0f, 0x09}},
    {"swapgs", SIGSEGV, 3, {0x0f, 0x01, 0xf8}},
    {"sysretq", SIGSEGV, 3, {0x48, 0x0f, 0x07}},
    {"sysretl", SIGSEGV, 2, {0x0f, 0x07}},
    {"sysexit", SIGSEGV, 2, {0x0f, 0x35}},
    {"xsetbv", SIGSEGV, 3, {0x0f, 0x01, 0xd1}},
    {"monitor", ANY, 3, {0x0f, 0x01, 0xc8}},
    {"mwait", ANY, 3, {0x0f, 0x01, 0xc9}},
    {"clac", SIGILL, 3, {0x0f, 0x01, 0xca}},
    {"stac", SIGILL, 3, {0x0f, 0x01, 0xcb}},
    {"rsm", SIGILL, 2, {0x0f, 0xaa}},
    {"vmcall", MAY_RUN, 3, {0x0f, 0x01, 0xc1}},
    {"vmmcall", MAY_RUN, 3, {0x0f, 0x01, 0xd9}},
    {"vmlaunch", ANY, 3, {0x0f, 0x01, 0xc2}},
    {"vmresume", ANY, 3, {0x0f, 0x01, 0xc3}},
    {"vmxoff", ANY, 3, {0x0f, 0x01, 0xc4}},
    {"vmfunc", ANY, 3, {0x0f, 0x01, 0xd4}},
    {"vmxon (%rax)", ANY, 4, {0xf3, 0x0f, 0xc7, 0x30}},
    {"vmptrld (%rax)", ANY, 3, {0x0f, 0xc7, 0x30}},
    {"vmread %rax,%rax", ANY, 3, {0x0f, 0x78, 0xc0}},
    {"vmrun", ANY, 3, {0x0f, 0x01, 0xd8}},
    {"vmload", ANY, 3, {0x0f, 0x01, 0xda}},
    {"vmsave", ANY, 3, {0x0f, 0x01, 0xdb}},
    {"stgi", ANY, 3, {0x0f, 0x01, 0xdc}},
    {"clgi", ANY, 3, {0x0f, 0x01, 0xdd}},
    {"skinit", ANY, 3, {0x0f, 0x01, 0xde}},
    {"invlpga", ANY, 3, {0x0f, 0x01, 0xdf}},
    {"invept (%rax),%rax", ANY, 5, {0x66, 0x0f, 0x38, 0x80, 0x00}},
    {"encls", ANY, 3, {0x0f, 0x01, 0xcf}},
    {"sgdt (%rax)", MAY_RUN, 3, {0x0f, 0x01, 0x00}},
    {"sidt (%rax)", MAY_RUN, 3, {0x0f, 0x01, 0x08}},
    {"sldt %ax", MAY_RUN, 3, {0x0f, 0x00, 0xc0}},
    {"str %ax", MAY_RUN, 3, {0x0f, 0x00, 0xc8}},
    {"smsw %ax", MAY_RUN, 3, {0x0f, 0x01, 0xe0}},
    {"ud0", SIGILL, 3, {0x0f, 0xff, 0xc0}},
    {"ud1", SIGILL, 3, {0x0f, 0xb9, 0xc0}},
    {"ud2", SIGILL, 2, {0x0f, 0x0b}},
    {"push %es", SIGILL, 1, {0x06}},
    {"daa", SIGILL, 1, {0x27}},
    {"pusha", SIGILL, 1, {0x60}},
    {"0x82", SIGILL, 3, {0x82, 0xc0, 0x00}},
    {"far call", SIGILL, 7, {0x9a}},
    {"into", SIGILL, 1, {0xce}},
    {"aam", SIGILL, 2, {0xd4, 0x0a}},
    {"far jump", SIGILL, 7, {0xea}},
    {"0f 04", SIGILL, 2, {0x0f, 0x04}},
    {"0f 0a", SIGILL, 2, {0x0f, 0x0a}},
    {"0f 36", SIGILL, 2, {0x0f, 0x36}},
    {"lock nop", SIGILL, 2, {0xf0, 0x90}},
    {"lock mov", MAY_RUN, 4, {0xf0, 0x48, 0x89, 0xc0}},
    {"an instruction of more than 15 bytes", SIGSEGV, 15,
     {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}},
    {"div by zero", SIGFPE, 4, {0x31, 0xc9, 0xf7, 0xf1}},
    {"int3", SIGTRAP, 1, {0xcc}},
    {"icebp", ANY, 1, {0xf1}},
    {"int $4", ANY, 2, {0xcd, 4}},
};

static unsigned char *code;

static void caught(int signo, siginfo_t *info, void *context) {
    ucontext_t *at = context;
    unsigned long rip = at->uc_mcontext.gregs[REG_RIP];
    if (info->si_signo != signo || rip < (unsigned long)code || rip > (unsigned long)code + 16)
        escaped("signal %d says %d at %#lx", signo, info->si_signo, rip);
    _exit(signo);
}

static int differ;

static int execute(void) {
    return IN_CHILD({
        static char area[4096], stack[1 << 14];
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, 0);
        struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        static const int signals[] = {SIGSEGV, SIGILL, SIGTRAP, SIGFPE, SIGBUS};
        for (int i = 0; i < 5; i++)
            sigaction(signals[i], &action, 0);
        unsigned long rax = (unsigned long)area, rdi = rax, rsi = rax, rcx = 0xc0000082, rdx = 0x3f8;
        asm volatile("call *%5" : "+a"(rax), "+c"(rcx), "+d"(rdx), "+D"(rdi), "+S"(rsi) : "b"(code) : "memory", "cc", "r8", "r11");
        _exit(0);
    });
}

static void attempt(const char *name, int signo) {
    int status = execute();
    int got = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    if (got < 0 || (signo > 0 && got != signo) || (signo == ANY && got == 0))
        printf("ESCAPED: %s: %d instead of signal %d\n", name, got, signo), differ++;
}

static void tick(int signo) {
    (void)signo;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        memset(code, 0xc3, 64); // ret
        if (attempts[i].size == 15)
            memset(code, 0x66, 32);
        memcpy(code, attempts[i].code, attempts[i].size);
        attempt(attempts[i].name, attempts[i].signo);
    }
    for (int vector = 0; vector < 256; vector++) {
        if (vector == 3 || vector == 4 || vector == 0x80)
            continue;
        char name[16];
        snprintf(name, sizeof name, "int $%#x", vector);
        memcpy(code, (unsigned char[]){0xcd, vector, 0xc3}, 3);
        attempt(name, MAY_RUN); // a nested hypervisor has its own ideas of some: nothing at all is fine, too
    }
    // Interrupts and timers are as they were.
    signal(SIGALRM, tick);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 20000}}, 0);
    pause();
    if (differ)
        escaped("%d", differ);
    contained();
}
