/* A library that is opened, and not preloaded, beside the program's own malloc: its
   functions are its own all the way down. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                            \
    do {                                                       \
        if (!(what)) {                                         \
            printf("line %d: %s\n", __LINE__, #what);          \
            exit(1);                                           \
        }                                                      \
    } while (0)

int main(int argc, char **argv)
{
    void *library = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
    CHECK(library);
    void *(*resize)(void *, size_t) = dlsym(library, "realloc");
    void *(*resize_array)(void *, size_t, size_t) = dlsym(library, "reallocarray");
    size_t (*usable)(void *) = dlsym(library, "malloc_usable_size");
    struct mallinfo (*info)(void) = dlsym(library, "mallinfo");
    struct mallinfo2 (*info2)(void) = dlsym(library, "mallinfo2");
    CHECK(resize && resize_array && usable && info && info2);

    char *block = resize(NULL, 100);
    CHECK(block && usable(block) >= 100);
    memset(block, 7, 100);
    block = resize_array(block, 3000, 100);
    CHECK(block && block[99] == 7 && usable(block) >= 300000);
    CHECK(info().arena == (int)info2().arena && info().uordblks == (int)info2().uordblks);
    CHECK(!resize(block, 0));
    puts("ok");
    return 0;
}
