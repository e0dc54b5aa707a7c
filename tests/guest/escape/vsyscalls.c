// The vsyscall page, and calls by every instruction that could make one.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    for (int i = 0; i < 3; i++)
        IN_CHILD({
            long out[4] = {0};
            long (*call)(long *, long *) = (void *)(0xffffffffff600000ul + 0x400 * i);
            call(out, 0);
        });
    IN_CHILD({ asm volatile("sysenter"); });
    IN_CHILD({ asm volatile("int $0x81"); });
    IN_CHILD({ asm volatile("int $3"); });
    IN_CHILD({ asm volatile("hlt"); });
    IN_CHILD({ asm volatile("lcall *(%0)" ::"r"("\0\0\0\0\7\0")); });
    // A prefix before syscall, and a syscall at the very end of user memory.
    IN_CHILD({ asm volatile(".byte 0x66, 0x48, 0x0f, 0x05" ::"a"(SYS_open), "D"(canary), "S"(2) : "rcx", "r11"); });
    unsigned char *last = mmap((void *)0x7fffffffe000, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (last != MAP_FAILED)
        IN_CHILD({
            last[4094] = 0x0f, last[4095] = 0x05;
            asm volatile("jmp *%0" ::"r"(last + 4094), "a"(SYS_getpid));
        });
    contained();
}
