// SPDX-License-Identifier: MIT
// Enough of MicroPython for the native module ota_ed25519: objects that are bytes, functions,
// types that have a constructor and methods. Whatever a module does wrong ends in an illegal
// instruction. Compiled for Xtensa; xtensa_module.py loads the .mpy, places it beside this, and
// calls start() first.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef const void *object;

// A bytes object; others have no more than the type.
typedef struct {
    object type;
    const uint8_t *data;
    size_t length;
} bytes;

typedef struct {
    object type;
    object (*call)(object, ...);
} function;

typedef struct {
    object type;
    uint16_t flags, name;
    uint8_t slots[12];
    object (*make_new)(object type, size_t n_args, size_t n_kw, const object *args);
    object methods;
} class;

typedef struct {
    const void *data;
    size_t length;
    int code;
} buffer;

enum { NAMES = 256, DICTS = 4, HEAP = 8192 };
enum { VERIFY, VERIFIER, UPDATE, OK, SHA512, DIGEST };

static const int none, no, yes, types[16];
static object bytes_type = &types[0];
static object globals[NAMES];
static object dicts[DICTS][NAMES]; // by name; the module sets a flag in word 1, which is none's
static unsigned dicts_used;
static uint32_t heap[HEAP / 4];
static size_t heap_used;
static const uint32_t *name; // numbers that the .mpy has for what the enum above says

static void fail(void) {
    __builtin_trap();
}

static uint32_t native_to_obj(uint32_t value, uint32_t type) {
    if (type != 8) { // a name
        fail();
    }
    return value << 3 | 2; // as objects of kind A have it
}

static object swap_globals(object new_globals) {
    return new_globals;
}

static object load_global(uint32_t qstr) {
    (void)qstr; // an exception
    return &types[1];
}

static void store_global(uint32_t qstr, object value) {
    if (qstr >= NAMES) {
        fail();
    }
    globals[qstr] = value;
}

static object new_dict(size_t n) {
    (void)n;
    if (dicts_used == DICTS) {
        fail();
    }
    return dicts[dicts_used++];
}

static object dict_store(object dict, uint32_t key, object value) {
    uint32_t qstr = key >> 3;
    if ((key & 7) != 2 || qstr >= NAMES) {
        fail();
    }
    ((object *)dict)[qstr] = value;
    return dict;
}

static void arg_check_num_sig(size_t n_args, size_t n_kw, uint32_t sig) {
    if (n_kw || n_args < sig >> 17 || n_args > (sig >> 1 & 0xffff)) {
        fail();
    }
}

static void *set(void *s, int c, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ((volatile uint8_t *)s)[i] = (uint8_t)c;
    }
    return s;
}

static void *move(void *to, const void *from, size_t n) {
    volatile uint8_t *t = to;
    const volatile uint8_t *f = from;
    if (t < f) {
        for (size_t i = 0; i < n; i++) {
            t[i] = f[i];
        }
    } else {
        while (n-- > 0) {
            t[n] = f[n];
        }
    }
    return to;
}

static void *allocate(void *old, size_t length, bool allow_move) {
    (void)allow_move;
    size_t words = (length + 3) / 4;
    if (old || heap_used + words > HEAP / 4) {
        fail();
    }
    heap_used += words;
    return heap + heap_used - words;
}

static object get_type(object o) {
    return *(const object *)o;
}

static object new_bytes(const uint8_t *data, size_t length) {
    bytes *made = allocate(NULL, sizeof(bytes) + length, false);
    made->type = bytes_type;
    made->data = move(made + 1, data, length);
    made->length = length;
    return made;
}

static bool get_buffer(object o, buffer *info, uint32_t flags) {
    if (get_type(o) != bytes_type || flags != 5) { // to be read, else an exception
        fail();
    }
    info->data = ((const bytes *)o)->data;
    info->length = ((const bytes *)o)->length;
    return true;
}

// mp_fun_table_t of MicroPython's py/nativeglue.h; at address 0 is no code
const void *const fun_table[88] = {
    [0] = &none,
    [1] = &no,
    [2] = &yes,
    [4] = native_to_obj,
    [5] = swap_globals,
    [7] = load_global,
    [13] = store_global,
    [21] = new_dict,
    [25] = dict_store,
    [44] = arg_check_num_sig,
    [50] = set,
    [51] = move,
    [52] = allocate,
    [56] = get_type,
    [58] = new_bytes,
    [65] = get_buffer,
    [73] = &types[2], // of types
    [74] = &types[3], // of strings
    [77] = &types[4], // of functions
    [78] = &types[5],
    [79] = &types[6],
    [80] = &types[7],
};

// ---- What the test calls

uint32_t start(object (*entry)(object, size_t, size_t, object), const uint32_t *names) {
    static object context[4];
    static object self[2];
    name = names;
    self[1] = context;
    return entry(self, 0, 0, NULL) == &none;
}

static object make(unsigned type, size_t n_args, const object *args) {
    const class *made = globals[name[type]];
    return made->make_new(made, n_args, 0, args);
}

static function *method(unsigned type, unsigned what) {
    const class *of = globals[name[type]];
    return (function *)((const object *)of->methods)[name[what]];
}

static uint32_t verdict(object result) {
    if (result != &yes && result != &no) {
        fail();
    }
    return result == &yes;
}

uint32_t verify(const uint8_t *key, const uint8_t *message, size_t length, const uint8_t *signature) {
    bytes k = {bytes_type, key, 32}, m = {bytes_type, message, length};
    bytes s = {bytes_type, signature, 64};
    const function *function = globals[name[VERIFY]];
    return verdict(function->call(&k, &m, &s));
}

// The message in two pieces.
uint32_t verify_pieces(
    const uint8_t *key, const uint8_t *message, size_t length, const uint8_t *signature) {
    bytes k = {bytes_type, key, 32}, s = {bytes_type, signature, 64};
    bytes first = {bytes_type, message, length / 3};
    bytes second = {bytes_type, message + length / 3, length - length / 3};
    const object args[2] = {&k, &s};
    heap_used = 0;
    object check = make(VERIFIER, 2, args);
    method(VERIFIER, UPDATE)->call(check, &first);
    method(VERIFIER, UPDATE)->call(check, &second);
    return verdict(method(VERIFIER, OK)->call(check));
}

uint32_t hash(const uint8_t *data, size_t length, uint8_t digest[64]) {
    bytes d = {bytes_type, data, length};
    const object args[1] = {&d};
    heap_used = 0;
    const bytes *made = method(SHA512, DIGEST)->call(make(SHA512, 1, args));
    move(digest, made->data, 64);
    return (uint32_t)made->length;
}
