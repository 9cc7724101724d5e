/* Ten small functions for the tour's compiler run. */
#define FUNCTION(n)                                                            \
    unsigned step_##n(unsigned *cells, unsigned count, unsigned seed)          \
    {                                                                          \
        unsigned sum = seed;                                                   \
        for (unsigned i = 0; i < count; i++) {                                 \
            switch ((cells[i] + sum) % 7) {                                    \
            case 0: sum += cells[i] >> 3; break;                               \
            case 1: sum ^= cells[i] << (i % 13); break;                        \
            case 2: cells[i] = sum * 2654435761u; break;                       \
            case 3: sum -= cells[(i + seed) % count]; break;                   \
            case 4: if (sum > cells[i]) cells[i] += sum / (i + 1); break;      \
            default: sum = (sum << 5) | (sum >> 27);                           \
            }                                                                  \
        }                                                                      \
        return sum ^ n##u;                                                     \
    }
#define TEN(n)                                                                 \
    FUNCTION(n##0) FUNCTION(n##1) FUNCTION(n##2) FUNCTION(n##3) FUNCTION(n##4) \
    FUNCTION(n##5) FUNCTION(n##6) FUNCTION(n##7) FUNCTION(n##8) FUNCTION(n##9)
TEN(1)
