// What Swift cannot import from hiredis, and what differs between hiredis 0.14 and 1.x.
//
// A redisReader calls back for every value that it finds. These object functions write the values into a flat table
// of records, in the order of the wire: no redisReply tree, no allocation per value. They are C, not Swift closures,
// because the signatures in redisReplyObjectFunctions differ between the versions, and because they are three times
// faster than closures.

#ifndef ROOST_CHIREDIS_SHIM_H
#define ROOST_CHIREDIS_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// pkg-config names the directory of the headers; a compiler without pkg-config knows only its parent.
#if defined(__has_include) && !__has_include(<hiredis.h>)
#include <hiredis/hiredis.h>
#else
#include <hiredis.h>
#endif

// The most arrays inside one another. The stack of the 0.14 reader is a fixed array, and it calls an eighth level of
// children a protocol error with a text only; a limit below that makes it the same typed error with every version.
// 1.x grows its stack, so there the bound only protects the recursion that builds the values.
#if HIREDIS_MAJOR >= 1
#define CHIREDIS_DEEPEST_NESTING 64
#else
#define CHIREDIS_DEEPEST_NESTING 7
#endif

// One value. A reply is the records from its root on, each array followed by its elements.
typedef struct chiredis_record {
    int32_t kind;    // REDIS_REPLY_*
    uint32_t arena;  // strings: which of the reader's arenas holds the bytes
    int64_t value;   // integers: the value; strings: offset in the arena; arrays: number of elements
    size_t length;   // strings: number of bytes
} chiredis_record;

// Why an object function refused. hiredis itself reports each refusal as "Out of memory".
typedef enum chiredis_refusal {
    CHIREDIS_REFUSED_NOTHING = 0,
    CHIREDIS_REFUSED_MEMORY,
    CHIREDIS_REFUSED_BULK_SIZE,
    CHIREDIS_REFUSED_LINE_SIZE,
    CHIREDIS_REFUSED_ELEMENTS,
    CHIREDIS_REFUSED_NESTING,
    CHIREDIS_REFUSED_FRAMING,
    CHIREDIS_REFUSED_TYPE,
} chiredis_refusal;

// The table of one reader. The arena is lent by Swift for the length of one call and must have room for every byte
// that the reader holds: then each string is copied once, from hiredis's buffer into memory that a ByteBuffer owns.
typedef struct chiredis_table {
    chiredis_record *records;
    size_t count;
    size_t capacity;

    char *arena;
    size_t arena_size;
    size_t arena_used;
    uint32_t arena_number;

    size_t max_bulk;
    size_t max_line;
    size_t max_elements;
    int max_nesting;
    chiredis_refusal refusal;
} chiredis_table;

static inline void *chiredis_refuse(chiredis_table *table, chiredis_refusal why) {
    table->refusal = why;
    return NULL;
}

// Appends a record, or returns NULL when there is no memory for it.
static inline chiredis_record *chiredis_append(chiredis_table *table, int kind) {
    if (table->count == table->capacity) {
        size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        chiredis_record *records;
        if (capacity > SIZE_MAX / sizeof(chiredis_record)) return NULL;
        records = (chiredis_record *)realloc(table->records, capacity * sizeof(chiredis_record));
        if (records == NULL) return NULL;
        table->records = records;
        table->capacity = capacity;
    }
    chiredis_record *record = &table->records[table->count++];
    record->kind = kind;
    record->arena = 0;
    record->value = 0;
    record->length = 0;
    return record;
}

// Object function for bulk strings, status lines and error lines.
static inline void *chiredis_create_string(const redisReadTask *task, char *bytes, size_t length) {
    chiredis_table *table = (chiredis_table *)task->privdata;
    chiredis_record *record;
    switch (task->type) {
    case REDIS_REPLY_STRING:
        if (length > table->max_bulk) return chiredis_refuse(table, CHIREDIS_REFUSED_BULK_SIZE);
        break;
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        if (length > table->max_line) return chiredis_refuse(table, CHIREDIS_REFUSED_LINE_SIZE);
        // RESP forbids both in a line; 1.x looks, 0.14 does not.
        if (memchr(bytes, '\r', length) != NULL || memchr(bytes, '\n', length) != NULL)
            return chiredis_refuse(table, CHIREDIS_REFUSED_FRAMING);
        break;
    default:  // verbatim strings and big numbers of RESP3
        return chiredis_refuse(table, CHIREDIS_REFUSED_TYPE);
    }
    // hiredis waits for the two bytes after a bulk string and does not look at them: a wrong length would go
    // unnoticed until some later byte happens to be no type.
    if (bytes[length] != '\r' || bytes[length + 1] != '\n') return chiredis_refuse(table, CHIREDIS_REFUSED_FRAMING);
    // Cannot happen while the arena has room for all that the reader holds; checked, because it guards a memcpy.
    if (length > table->arena_size - table->arena_used) return chiredis_refuse(table, CHIREDIS_REFUSED_MEMORY);
    record = chiredis_append(table, task->type);
    if (record == NULL) return chiredis_refuse(table, CHIREDIS_REFUSED_MEMORY);
    record->arena = table->arena_number;
    record->value = (int64_t)table->arena_used;
    record->length = length;
    if (length > 0) memcpy(table->arena + table->arena_used, bytes, length);
    table->arena_used += length;
    return table;
}

// The type of an element count, which is the difference between the two createArray signatures.
#if HIREDIS_MAJOR >= 1
typedef size_t chiredis_elements;
#else
typedef int chiredis_elements;
#endif

// Object function for arrays; maps, sets and pushes of RESP3 arrive here too and are refused.
static inline void *chiredis_create_array(const redisReadTask *task, chiredis_elements elements) {
    chiredis_table *table = (chiredis_table *)task->privdata;
    const redisReadTask *outer;
    chiredis_record *record;
    int nesting = 1;
    if (task->type != REDIS_REPLY_ARRAY) return chiredis_refuse(table, CHIREDIS_REFUSED_TYPE);
    if ((size_t)elements > table->max_elements) return chiredis_refuse(table, CHIREDIS_REFUSED_ELEMENTS);
    for (outer = task->parent; outer != NULL; outer = outer->parent) nesting++;
    if (nesting > table->max_nesting) return chiredis_refuse(table, CHIREDIS_REFUSED_NESTING);
    record = chiredis_append(table, REDIS_REPLY_ARRAY);
    if (record == NULL) return chiredis_refuse(table, CHIREDIS_REFUSED_MEMORY);
    record->value = (int64_t)elements;
    return table;
}

// Object function for integers.
static inline void *chiredis_create_integer(const redisReadTask *task, long long value) {
    chiredis_table *table = (chiredis_table *)task->privdata;
    chiredis_record *record = chiredis_append(table, REDIS_REPLY_INTEGER);
    if (record == NULL) return chiredis_refuse(table, CHIREDIS_REFUSED_MEMORY);
    record->value = value;
    return table;
}

// Object function for the null bulk string and the null array; RESP3's null, with a type of its own, is refused.
static inline void *chiredis_create_nil(const redisReadTask *task) {
    chiredis_table *table = (chiredis_table *)task->privdata;
    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_ARRAY)
        return chiredis_refuse(table, CHIREDIS_REFUSED_TYPE);
    if (chiredis_append(table, REDIS_REPLY_NIL) == NULL) return chiredis_refuse(table, CHIREDIS_REFUSED_MEMORY);
    return table;
}

#if HIREDIS_MAJOR >= 1
// Object functions of RESP3, which nobody asked Redis for. Without them hiredis would answer with tokens of its own.
static inline void *chiredis_create_double(const redisReadTask *task, double value, char *text, size_t length) {
    (void)value;
    (void)text;
    (void)length;
    return chiredis_refuse((chiredis_table *)task->privdata, CHIREDIS_REFUSED_TYPE);
}

static inline void *chiredis_create_bool(const redisReadTask *task, int value) {
    (void)value;
    return chiredis_refuse((chiredis_table *)task->privdata, CHIREDIS_REFUSED_TYPE);
}
#endif

// Object function that hiredis calls for a reply it gives up. The table owns the records: nothing to free.
static inline void chiredis_free_object(void *object) { (void)object; }

// Makes a reader that writes into `table`. Exists because the layout of the function table differs between versions,
// and redisReaderSetPrivdata is a macro. NULL when out of memory.
static inline redisReader *chiredis_reader_create(chiredis_table *table) {
    static redisReplyObjectFunctions functions = {
        .createString = chiredis_create_string,
        .createArray = chiredis_create_array,
        .createInteger = chiredis_create_integer,
#if HIREDIS_MAJOR >= 1
        .createDouble = chiredis_create_double,
#endif
        .createNil = chiredis_create_nil,
#if HIREDIS_MAJOR >= 1
        .createBool = chiredis_create_bool,
#endif
        .freeObject = chiredis_free_object,
    };
    redisReader *reader = redisReaderCreateWithFunctions(&functions);
    if (reader != NULL) reader->privdata = table;
    return reader;
}

// How many bytes the reader holds that are no part of a record yet. Exists so that Swift does not depend on the
// layout of redisReader.
static inline size_t chiredis_reader_unread(const redisReader *reader) { return reader->len - reader->pos; }

// Whether the reader stopped, by itself or because an object function refused.
static inline int chiredis_reader_failed(const redisReader *reader) { return reader->err != 0; }

// Whether hiredis itself ran out of memory. Exists because a refusal reports the same code.
static inline int chiredis_reader_lacks_memory(const redisReader *reader) { return reader->err == REDIS_ERR_OOM; }

// The reader's own words for what is wrong. Exists because errstr imports as a tuple of 128 characters.
static inline const char *chiredis_reader_complaint(const redisReader *reader) { return reader->errstr; }

// Whether the bytes that the reader waits with begin with a line longer than `limit`. Every RESP value begins with a
// line, and hiredis looks for its end anew at each feed: an endless line costs quadratic time.
static inline int chiredis_reader_line_exceeds(const redisReader *reader, size_t limit) {
    size_t unread = reader->len - reader->pos;
    const char *from, *end;
    if (unread <= limit || unread - limit < 2) return 0;
    from = reader->buf + reader->pos;
    end = from + limit + 1;
    while (from < end && (from = (const char *)memchr(from, '\r', (size_t)(end - from))) != NULL) {
        if (from[1] == '\n') return 0;
        from++;
    }
    return 1;
}

// Removes the first `count` records, which have been turned into values; gives back what one huge reply has taken.
static inline void chiredis_table_drop_first(chiredis_table *table, size_t count) {
    table->count -= count;
    if (table->count > 0) {
        memmove(table->records, table->records + count, table->count * sizeof(chiredis_record));
    } else if (table->capacity > 16384) {
        free(table->records);
        table->records = NULL;
        table->capacity = 0;
    }
}

#endif
