// A small malloc family with one bug, chosen by -DBUG=...; without it, sound.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    NONE, MISALIGNS, BOASTS, WRAPS, KEEPS_DIRT, FORGETS_ERRNO, CHANGES_ERRNO,
    CUTS_SHORT, LEAKS, ORPHANS, DIES, HANGS, RACES, TRIMS_TOO_MUCH, REFUSES_BADLY,
};
#ifndef BUG
#define BUG NONE
#endif

// 16 bytes left of each block.
typedef struct { uint64_t size : 56, class : 8; char *base; } header;
// Freed blocks by power of two; those that live are linked for the sake of TRIMS_TOO_MUCH.
static void *freed[48];
static char *fresh, *end;
static header *last;
static int in_child;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void take(void) { if (BUG != RACES) pthread_mutex_lock(&lock); }
static void release(void) { if (BUG != RACES) pthread_mutex_unlock(&lock); }
static void child(void) { in_child = 1; release(); }
__attribute__((constructor)) static void begin(void) { pthread_atfork(take, release, child); }

static int class_of(size_t size) {
    int class = 5;
    while (((size_t)1 << class) < size) class++;
    return class;
}

static void *refuse(void) {
    if (BUG != FORGETS_ERRNO) errno = ENOMEM;
    return NULL;
}

static void *get(size_t size, size_t align) {
    if (size > ((size_t)1 << 40) || align > ((size_t)1 << 40)) return refuse();
    if (BUG == ORPHANS && in_child) return refuse();
    if (BUG == MISALIGNS) align = 16;
    int class = class_of(size + align + 32);
    size_t need = (size_t)1 << class;
    take();
    char *base = freed[class];
    if (base) {
        memcpy(&freed[class], base, sizeof(void *));
    } else {
        if (!fresh || (size_t)(end - fresh) < need) {
            size_t map = need > (4 << 20) ? need : (4 << 20);
            char *got = mmap(NULL, map, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (got == MAP_FAILED) {
                release();
                return refuse();
            }
            fresh = got;
            end = got + map;
        }
        base = fresh;
        fresh += need;
    }
    char *block = (char *)(((uintptr_t)base + 16 + align - 1) & -align);
    if (block < base + 16) block += align;
    header *own = (header *)block - 1;
    own->size = size;
    own->class = class;
    own->base = base;
    last = own;
    release();
    return block;
}

void *malloc(size_t size) { return get(size, 16); }

void free(void *block) {
    if (BUG == CHANGES_ERRNO) errno = EINVAL;
    if (!block || BUG == LEAKS) return;
    header *own = (header *)block - 1;
    char *base = own->base;
    int class = own->class;
    take();
    memcpy(base, &freed[class], sizeof(void *));
    freed[class] = base;
    if (last == own) last = NULL;
    release();
}

void *calloc(size_t count, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(count, size, &all) && BUG != WRAPS) return refuse();
    void *block = get(all, 16);
    // Small ones are what the process itself needs to come up.
    if (block && (BUG != KEEPS_DIRT || all < 900)) memset(block, 0, all);
    return block;
}

void *realloc(void *block, size_t size) {
    if (!block) return malloc(size);
    size_t had = ((header *)block - 1)->size;
    if (BUG == DIES && size > 3000 && had > 3000) abort();
    while (BUG == HANGS && size > 3000 && had > 3000) usleep(1000);
    void *new = get(size, 16);
    if (!new) {
        if (BUG == REFUSES_BADLY && had) *(char *)block ^= 1;
        return NULL;
    }
    size_t keep = had < size ? had : size;
    memcpy(new, block, BUG == CUTS_SHORT && keep > 100 ? keep - 1 : keep);
    free(block);
    return new;
}

int posix_memalign(void **result, size_t align, size_t size) {
    int before = errno;
    void *block = get(size, align);
    errno = before;
    if (!block) return ENOMEM;
    *result = block;
    return 0;
}

void *memalign(size_t align, size_t size) { return get(size, align); }
void *aligned_alloc(size_t align, size_t size) { return get(size, align); }

size_t malloc_usable_size(void *block) {
    if (!block) return 0;
    header *own = (header *)block - 1;
    // Into the next block, if that is as large.
    return BUG == BOASTS && own->size >= 2000 ? ((size_t)1 << own->class) + 48 : own->size;
}

int malloc_trim(size_t keep) {
    (void)keep;
    take();
    if (BUG == TRIMS_TOO_MUCH && last && last->size > 16) memset(last + 1, 0, last->size);
    release();
    return 0;
}
