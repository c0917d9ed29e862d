# SPDX-License-Identifier: MIT
# The verifier as a part of a firmware: make USER_C_MODULES=/path/to/lib
OTA_ED25519_DIR := $(USERMOD_DIR)
SRC_USERMOD_C += $(OTA_ED25519_DIR)/module.c
SRC_USERMOD_LIB_C += $(filter-out %/module.c,$(wildcard $(OTA_ED25519_DIR)/*.c))
SRC_USERMOD_LIB_ASM += $(wildcard $(OTA_ED25519_DIR)/*.S)
CFLAGS_USERMOD += -DOTA_ED25519_MODULE
