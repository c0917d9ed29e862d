// SPDX-License-Identifier: MIT
// The module `ota_ed25519` of MicroPython, loaded from .mpy (natmod/) or built into a firmware
// (micropython.mk, micropython.cmake):
//
//     check = ota_ed25519.Verifier(public_key, signature)
//     check.update(data)                                   any number of times
//     check.ok()                                           once
//     ota_ed25519.verify(public_key, message, signature)   all of it at once
//     ota_ed25519.sha512(data)                             like hashlib's: update(), digest()
//
// Used like `ota.trust.ed25519` and hashlib. TypeError: not a bytes-like object, a str among them.
// ValueError: a length that cannot be right, or use after ok().

#include "ed25519.h"

#if defined(MICROPY_ENABLE_DYNRUNTIME)
#include "py/dynruntime.h"
#elif defined(OTA_ED25519_MODULE)
#include "py/runtime.h"
#endif
#if defined(MICROPY_ENABLE_DYNRUNTIME) || defined(OTA_ED25519_MODULE)

typedef struct {
    mp_obj_base_t base;
    bool used_up;
    ota_ed25519 check;
} verifier_t;

typedef struct {
    mp_obj_base_t base;
    ota_sha512 hash;
} sha512_t;

#if MICROPY_ENABLE_DYNRUNTIME
// A module from .mpy has no initialised data. The exceptions are here because the usual macros look
// them up by name, among the globals of whoever calls. One struct: garbage collectors that do not
// know of a module's data find it by its beginning, which is the class Verifier.
struct {
    mp_obj_full_type_t verifier, sha512;
    const mp_obj_type_t *TypeError, *ValueError;
} ota_ed25519_types;
#define VERIFIER ((const mp_obj_type_t *)&ota_ed25519_types.verifier)
#define SHA512 ((const mp_obj_type_t *)&ota_ed25519_types.sha512)
#define RAISE(type, text) mp_raise_msg(ota_ed25519_types.type, text)
#else
extern const mp_obj_type_t ota_ed25519_verifier, ota_ed25519_sha512;
#define VERIFIER (&ota_ed25519_verifier)
#define SHA512 (&ota_ed25519_sha512)
#define RAISE(type, text) mp_raise_##type(MP_ERROR_TEXT(text))
#endif

// A method may be called as a function, on anything.
static void *check_type(mp_obj_t self, const mp_obj_type_t *type) {
    if (mp_obj_get_type(self) != type) {
        RAISE(TypeError, "self");
    }
    return MP_OBJ_TO_PTR(self);
}

static mp_buffer_info_t bytes(mp_obj_t object) {
    mp_buffer_info_t info;
    if (mp_obj_get_type(object) == &mp_type_str) {
        RAISE(TypeError, "str");
    }
    mp_get_buffer_raise(object, &info, MP_BUFFER_READ);
    return info;
}

static const uint8_t *bytes_of_length(mp_obj_t object, size_t length) {
    mp_buffer_info_t info = bytes(object);
    if (info.len != length) {
        RAISE(ValueError, "length of key or signature");
    }
    return info.buf;
}

static mp_obj_t verify(mp_obj_t key, mp_obj_t message, mp_obj_t signature) {
    const uint8_t *a = bytes_of_length(key, 32);
    const uint8_t *rs = bytes_of_length(signature, 64);
    mp_buffer_info_t info = bytes(message);
    return mp_obj_new_bool(ota_ed25519_verify(a, info.buf, info.len, rs));
}
static MP_DEFINE_CONST_FUN_OBJ_3(verify_obj, verify);

// ---- Verifier

static mp_obj_t verifier_make_new(
    const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 2, 2, false);
    const uint8_t *key = bytes_of_length(args[0], 32);
    const uint8_t *signature = bytes_of_length(args[1], 64);
    verifier_t *self = mp_obj_malloc(verifier_t, type);
    self->used_up = false;
    ota_ed25519_init(&self->check, key, signature);
    return MP_OBJ_FROM_PTR(self);
}

static verifier_t *usable(mp_obj_t self_in) {
    verifier_t *self = check_type(self_in, VERIFIER);
    if (self->used_up) {
        RAISE(ValueError, "already checked");
    }
    return self;
}

static mp_obj_t verifier_update(mp_obj_t self_in, mp_obj_t data) {
    verifier_t *self = usable(self_in);
    mp_buffer_info_t info = bytes(data);
    ota_ed25519_update(&self->check, info.buf, info.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(verifier_update_obj, verifier_update);

static mp_obj_t verifier_ok(mp_obj_t self_in) {
    verifier_t *self = usable(self_in);
    self->used_up = true;
    return mp_obj_new_bool(ota_ed25519_ok(&self->check));
}
static MP_DEFINE_CONST_FUN_OBJ_1(verifier_ok_obj, verifier_ok);

// ---- sha512

static mp_obj_t sha512_update(mp_obj_t self_in, mp_obj_t data) {
    sha512_t *self = check_type(self_in, SHA512);
    mp_buffer_info_t info = bytes(data);
    ota_sha512_update(&self->hash, info.buf, info.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(sha512_update_obj, sha512_update);

static mp_obj_t sha512_make_new(
    const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 1, false);
    sha512_t *self = mp_obj_malloc(sha512_t, type);
    ota_sha512_init(&self->hash);
    if (n_args) {
        sha512_update(MP_OBJ_FROM_PTR(self), args[0]);
    }
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t sha512_digest(mp_obj_t self_in) {
    sha512_t *self = check_type(self_in, SHA512);
    // On a copy, so that more can follow. Not an assignment, which would need memcpy.
    ota_sha512 hash;
    for (unsigned i = 0; i < sizeof(hash); i++) {
        ((uint8_t *)&hash)[i] = ((const uint8_t *)&self->hash)[i];
    }
    uint8_t digest[64];
    ota_sha512_final(&hash, digest);
    return mp_obj_new_bytes(digest, sizeof(digest));
}
static MP_DEFINE_CONST_FUN_OBJ_1(sha512_digest_obj, sha512_digest);

// ---- The module

#if MICROPY_ENABLE_DYNRUNTIME

static void init_type(mp_obj_full_type_t *type, qstr name, void *make_new,
    const void *update, qstr last, const void *function) {
    mp_obj_t methods = mp_obj_new_dict(0);
    mp_obj_dict_store(methods, MP_OBJ_NEW_QSTR(MP_QSTR_update), MP_OBJ_FROM_PTR(update));
    mp_obj_dict_store(methods, MP_OBJ_NEW_QSTR(last), MP_OBJ_FROM_PTR(function));
    ((mp_obj_dict_t *)MP_OBJ_TO_PTR(methods))->map.is_fixed = 1;
    type->base.type = &mp_type_type;
    type->name = name;
    MP_OBJ_TYPE_SET_SLOT(type, make_new, make_new, 0);
    MP_OBJ_TYPE_SET_SLOT(type, locals_dict, MP_OBJ_TO_PTR(methods), 1);
    mp_store_global(name, MP_OBJ_FROM_PTR(type));
}

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    ota_ed25519_types.TypeError = &mp_type_TypeError;
    ota_ed25519_types.ValueError = &mp_type_ValueError;
    init_type(&ota_ed25519_types.verifier, MP_QSTR_Verifier, verifier_make_new,
        &verifier_update_obj, MP_QSTR_ok, &verifier_ok_obj);
    init_type(&ota_ed25519_types.sha512, MP_QSTR_sha512, sha512_make_new,
        &sha512_update_obj, MP_QSTR_digest, &sha512_digest_obj);
    mp_store_global(MP_QSTR_verify, MP_OBJ_FROM_PTR(&verify_obj));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

static const mp_rom_map_elem_t verifier_methods[] = {
    {MP_ROM_QSTR(MP_QSTR_update), MP_ROM_PTR(&verifier_update_obj)},
    {MP_ROM_QSTR(MP_QSTR_ok), MP_ROM_PTR(&verifier_ok_obj)},
};
static MP_DEFINE_CONST_DICT(verifier_dict, verifier_methods);
MP_DEFINE_CONST_OBJ_TYPE(ota_ed25519_verifier, MP_QSTR_Verifier, MP_TYPE_FLAG_NONE,
    make_new, verifier_make_new, locals_dict, &verifier_dict);

static const mp_rom_map_elem_t sha512_methods[] = {
    {MP_ROM_QSTR(MP_QSTR_update), MP_ROM_PTR(&sha512_update_obj)},
    {MP_ROM_QSTR(MP_QSTR_digest), MP_ROM_PTR(&sha512_digest_obj)},
};
static MP_DEFINE_CONST_DICT(sha512_dict, sha512_methods);
MP_DEFINE_CONST_OBJ_TYPE(ota_ed25519_sha512, MP_QSTR_sha512, MP_TYPE_FLAG_NONE,
    make_new, sha512_make_new, locals_dict, &sha512_dict);

static const mp_rom_map_elem_t globals[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_ota_ed25519)},
    {MP_ROM_QSTR(MP_QSTR_Verifier), MP_ROM_PTR(&ota_ed25519_verifier)},
    {MP_ROM_QSTR(MP_QSTR_sha512), MP_ROM_PTR(&ota_ed25519_sha512)},
    {MP_ROM_QSTR(MP_QSTR_verify), MP_ROM_PTR(&verify_obj)},
};
static MP_DEFINE_CONST_DICT(globals_dict, globals);

const mp_obj_module_t ota_ed25519_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&globals_dict,
};
MP_REGISTER_MODULE(MP_QSTR_ota_ed25519, ota_ed25519_module);

#endif
#endif
