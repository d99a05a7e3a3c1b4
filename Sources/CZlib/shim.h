#include <zlib.h>

// Macros, which Swift does not see. Raw deflate: without zlib's header and checksum (RFC 7692, section 7.2.1).
static inline int czlib_deflate_init(z_streamp stream, int level, int window_bits) {
    return deflateInit2(stream, level, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY);
}

static inline int czlib_inflate_init(z_streamp stream) { return inflateInit2(stream, -MAX_WBITS); }

// Between two blocks: everything that was begun has ended.
static inline int czlib_is_between_blocks(z_streamp stream) {
    return (stream->data_type & 128) != 0 && (stream->data_type & 7) == 0;
}
