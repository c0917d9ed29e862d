# SPDX-License-Identifier: MIT
# A Cortex-M4 with floating point for MicroPython's qemu port, which has none: the port's MPS2_AN385
# with another core. So armv7emsp modules run as on an RP2350 or STM32F4.
QEMU_ARCH = arm
QEMU_MACHINE = mps2-an386

CFLAGS += -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard
CFLAGS += -DQEMU_SOC_MPS2
CFLAGS += -DMICROPY_HW_MCU_NAME='"Cortex-M4"'

LDSCRIPT = mcu/arm/mps2.ld
LDFLAGS += -Wl,--wrap=uart_init

SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb2.o
SRC_BOARD_O += $(BOARD_DIR)/fpu.o
