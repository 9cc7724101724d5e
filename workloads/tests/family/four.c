// A malloc family of no more than the four functions that C demands. Blocks of
// anybody else's are a reason to abort.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ROOM = 1 << 24 };
static char *begin, *fresh;

// As many bytes left of each block tell its size.
enum { HEADER = 16 };

static size_t *size_of(void *block) {
    if ((char *)block <= begin || (char *)block >= fresh) abort();
    return (size_t *)((char *)block - HEADER);
}

// Calls of `malloc` in here would be of the program's.
static void *take(size_t size) {
    if (!begin) {
        begin = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (begin == MAP_FAILED) abort();
        fresh = begin;
    }
    if (size > ROOM / 2 || (size_t)(begin + ROOM - fresh) < size + 2 * HEADER) return NULL;
    char *block = fresh + HEADER;
    fresh = block + (size + HEADER) / HEADER * HEADER;
    *size_of(block) = size;
    return block;
}

void *malloc(size_t size) { return take(size); }

void free(void *block) {
    if (block) size_of(block);
}

void *calloc(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    return take(count * size);
}

void *realloc(void *block, size_t size) {
    char *moved = take(size);
    if (block && moved) {
        size_t old = *size_of(block);
        memcpy(moved, block, old < size ? old : size);
    }
    return moved;
}
