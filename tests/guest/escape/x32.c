// The x32 table: the same numbers with bit 30, and its own from 512 on.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    for (long n = 0; n < 1024; n++)
        for (int bit = 30; bit < 32; bit++) {
            long number = n | 1l << bit;
            long r = RAW(bit == 31 ? (int)number : number, canary, O_RDWR, 0777);
            if (bit == 30 && r != -ENOSYS)
                escaped("x32 number %ld gave %ld", n, r);
            r = STUB_RAW(number, canary, O_RDWR, 0777);
            if (bit == 30 && r != -ENOSYS)
                escaped("x32 number %ld gave %ld at the stub", n, r);
        }
    contained();
}
