// One mistake, named by the argument. Must not get as far as "unnoticed". With
// a second argument, many blocks of the size were in use before.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *volatile keep;

int main(int argc, char **argv) {
    const char *mistake = argc > 1 ? argv[1] : "";
    void *volatile crowd[16] = {0};
    for (int i = 0; argc > 2 && i < 16; i++)
        crowd[i] = malloc(40);
    for (int i = 0; i < 16; i++)
        free(crowd[i]);
    char *left = malloc(40), *block = malloc(40), *right = malloc(40);
    static char foreign[64];
    keep = left;
    if (!strcmp(mistake, "double-free")) {
        free(block);
        free(block);
    } else if (!strcmp(mistake, "delayed-double-free")) {
        free(block);
        free(left);
        free(right);
        free(block);
    } else if (!strcmp(mistake, "interior-free")) {
        free(block + 16);
    } else if (!strcmp(mistake, "unaligned-free")) {
        free(block + 1);
    } else if (!strcmp(mistake, "foreign-free")) {
        free(foreign + 32);
    } else if (!strcmp(mistake, "stack-free")) {
        char here[64] = {0};
        keep = here + 32;
        free(keep);
    } else if (!strcmp(mistake, "overflow-by-1")) {
        block[48] ^= 1;
        free(block);
    } else if (!strcmp(mistake, "overflow-by-8")) {
        memset(block + 48, 0x41, 8);
        free(block);
    } else if (!strcmp(mistake, "underflow-by-1")) {
        block[-1] ^= 1;
        free(block);
    } else if (!strcmp(mistake, "underflow-by-8")) {
        memset(block - 8, 0x41, 8);
        free(block);
    } else if (!strcmp(mistake, "realloc-of-freed")) {
        free(block);
        keep = realloc(block, 100);
    } else if (!strcmp(mistake, "write-after-free")) {
        free(block);
        memset(block, 0x41, 16);
        keep = malloc(40);
        keep = malloc(40);
    } else if (!strcmp(mistake, "underflow-after-free")) {
        free(block);
        memset(block - 8, 0x41, 8);
        keep = malloc(40);
        keep = malloc(40);
    } else {
        printf("no such mistake\n");
        return 2;
    }
    printf("unnoticed\n");
    return 0;
}
