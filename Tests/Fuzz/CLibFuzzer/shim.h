#include <stddef.h>
#include <stdint.h>

typedef int (*clibfuzzer_check)(const uint8_t *_Nullable bytes, size_t count);

// Weak: only what is built with -sanitize=fuzzer has it.
int LLVMFuzzerRunDriver(int *_Nonnull argc, char *_Nullable *_Nullable *_Nonnull argv, clibfuzzer_check _Nonnull check)
    __attribute__((weak));

// Swift does not compare functions.
static inline int clibfuzzer_is_linked(void) { return LLVMFuzzerRunDriver != 0; }
