// The stub's requests, made by guest code with arguments of its own: forged frames, children, templates.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    static unsigned long area[4096];
    unsigned long values[] = {0, 1, ~0ul, 1ul << 63, STUB, STUB + 0x8000, (unsigned long)area, 0x7fffffffffff, 0xffff800000000000};
    int n = sizeof values / sizeof *values;
    for (unsigned long i = 0; i < 4096; i++)
        area[i] = values[i % n];
    for (long op = -1; op < 24; op++)
        for (int v = 0; v < n; v++) {
            IN_CHILD({ RAW(SYS_lseek, REQUEST, op, values[v], values[(v + 1) % n], values[(v + 2) % n], values[(v + 3) % n]); });
            IN_CHILD({ STUB_RAW(SYS_lseek, REQUEST, op, values[v], values[v], values[v], values[v]); });
        }
    // Sizes and places of frames that end where memory ends.
    char *edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    for (long op = 1; op < 12; op++)
        for (int back = 0; back < 512; back += 64)
            IN_CHILD({ RAW(SYS_lseek, REQUEST, op, edge + 4096 - back, edge + 4096 - back, edge + 4096 - back, back); });
    contained();
}
