// 32-bit code by a far return and by a forged signal frame: int 0x80 and sysenter from there.
#include "escape.h"
#include <ucontext.h>

static unsigned char *low;

static void build(int kind) {
    // mov $5 (open), %eax; mov $path, %ebx; mov $2 (O_RDWR), %ecx; xor %edx, %edx; int 0x80 | sysenter | syscall; ud2
    unsigned char code[] = {0xb8, 5, 0, 0, 0, 0xbb, 0, 0, 0, 0, 0xb9, 2, 0, 0, 0, 0x31, 0xd2, 0xcd, 0x80, 0x0f, 0x0b};
    unsigned path = (unsigned)(unsigned long)low + 1024;
    memcpy(code + 6, &path, 4);
    if (kind == 1)
        code[17] = 0x0f, code[18] = 0x34;
    if (kind == 2)
        code[17] = 0x0f, code[18] = 0x05;
    memcpy(low, code, sizeof code);
    strcpy((char *)low + 1024, canary);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    low = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED)
        escaped("no memory below 4 GiB");
    take_stub_page();
    for (int kind = 0; kind < 3; kind++) {
        build(kind);
        int status = IN_CHILD({
            asm volatile("mov %0, %%rsp\n push $0x23\n push %1\n lretq" ::"r"(low + 8000), "r"((unsigned long)low) : "memory");
        });
        if (!WIFSIGNALED(status))
            escaped("32-bit code came to its end by a far return (kind %d, status %#x)", kind, status);
        for (int native = 0; native < 2; native++) {
            status = IN_CHILD({
                static unsigned long frame[64] __attribute__((aligned(64)));
                memset(frame, 0, sizeof frame);
                frame[5 + 15] = (unsigned long)low + 8000;  // rsp
                frame[5 + 16] = (unsigned long)low;         // rip
                frame[5 + 17] = 0x202;                      // eflags
                frame[5 + 18] = 0x002b000000000023;         // ss, cs: 32-bit
                asm volatile("mov %0, %%rsp\n mov $15, %%eax\n jmp *%1" ::"r"(frame),
                             "r"(native ? (char *)STUB_PAGE + 23 : (char *)&&plain)
                             : "memory");
            plain:
                asm volatile("syscall");
            });
            if (!WIFSIGNALED(status))
                escaped("32-bit code came to its end by a signal frame (kind %d, status %#x)", kind, status);
        }
    }
    contained();
}
