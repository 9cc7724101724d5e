// Somebody else uses the break, too: his memory must stay his, ours ours.
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 300, MINE = 40 };

static int all(const unsigned char *at, size_t len, int byte) {
    for (size_t i = 0; i < len; i++)
        if (at[i] != byte)
            return 0;
    return 1;
}

int main(void) {
    static unsigned char *foreign[ROUNDS], *block[MINE];
    static size_t size[MINE];
    for (int round = 0; round < ROUNDS; round++) {
        int i = round % MINE;
        if (block[i] && !all(block[i], size[i], i)) {
            printf("block %d was overwritten\n", i);
            return 1;
        }
        free(block[i]);
        size[i] = (size_t)(round * 7919) % 90000 + 1;
        block[i] = malloc(size[i]);
        memset(block[i], i, size[i]);
        foreign[round] = sbrk(1001);
        if (foreign[round] == (void *)-1) {
            printf("sbrk refused\n");
            return 1;
        }
        memset(foreign[round], 0x5a, 1001);
    }
    for (int i = 0; i < MINE; i++) {
        if (!all(block[i], size[i], i)) {
            printf("block %d was overwritten\n", i);
            return 1;
        }
        free(block[i]);
    }
    for (int round = 0; round < ROUNDS; round++)
        if (!all(foreign[round], 1001, 0x5a)) {
            printf("foreign memory %d was overwritten\n", round);
            return 1;
        }
    // The other one takes his last piece back; we may not fall over it.
    sbrk(-1001);
    for (int i = 0; i < 1000; i++)
        free(memset(malloc(i * 100), 1, i * 100));
    printf("ok\n");
    return 0;
}
