# SPDX-License-Identifier: MIT
# Every command of the project. Each one sets up what it needs, under build/, and does nothing
# twice.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
export PYTHON MICROPYTHON MICROPYTHON32 MPY_CROSS MPY_DIR MPY_DIR_NEWER DEBIAN_MIRROR CI

BIN := build/bin
VENV := build/venv/bin
PYTEST := $(VENV)/python -m pytest
DEVICE := $(shell find lib boards -name '*.py' -not -path '*/boot/*' -not -name manifest.py \
    -not -name partitions.py)
RECIPE := tools/setup/lib.sh build/.choice

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo "Elsewhere than on Debian 12 or later, name a checkout of MicroPython with MPY_DIR=,"
	@echo "or a unix binary with MICROPYTHON= (and MICROPYTHON32=, MPY_CROSS=)."

# ---- set-up

.PHONY: setup
setup: build/venv/.stamp ## get and build what all the rest needs
setup: $(BIN)/micropython $(BIN)/micropython32 $(BIN)/mpy-cross

# Changes only when another interpreter or MicroPython is chosen, and then everything is made anew
# from it.
build/.choice: FORCE
	@mkdir -p build
	@choice='$(PYTHON) $(MICROPYTHON) $(MICROPYTHON32) $(MPY_CROSS) $(MPY_DIR)'; \
	    [ "$$(cat $@ 2>/dev/null)" = "$$choice" ] || echo "$$choice" >$@
.PHONY: FORCE
FORCE:

build/.packages: tools/setup/packages.sh $(RECIPE)
	@$< $@

build/venv/.stamp: tools/setup/venv.sh requirements.lock pyproject.toml build/.packages $(RECIPE)
	@$< $@

build/.source: tools/setup/source.sh tools/setup/debian.sh build/.packages $(RECIPE)
	@$< $@

# For the chips of the boards: compilers and emulators of the distribution, for build/bin/
# micropython-ARCH, `make natmod` and the firmware.
build/.chips: tools/setup/packages.sh build/.packages $(RECIPE)
	@$< $@ chips

# The rp2 port, ready to build, in build/src/micropython and, newer, build/src/micropython-newer.
build/.rp2: tools/setup/rp2.sh tools/setup/debian.sh build/.source
	@$< $@

# The emulator of the RP2040, in build/node_modules: a script imports it by that path.
NODE_PACKAGES := host_tests/rp2040/package.json host_tests/rp2040/package-lock.json
build/.npm: build/.packages $(RECIPE)
	@tools/setup/packages.sh $@ node
build/.node: tools/setup/node.sh $(NODE_PACKAGES) build/.npm $(RECIPE)
	@$< $@

# A C compiler for the ESP32's Xtensa: build/clang/clang.
build/.clang: tools/setup/clang.sh tools/setup/debian.sh build/.packages $(RECIPE)
	@$< $@

UNIX := tools/setup/build.sh tools/setup/manifest.py tools/setup/frozen/ssl.py $(BIN)/mpy-cross
$(BIN)/mpy-cross: tools/setup/build.sh build/.source
	@$< mpy-cross
$(BIN)/micropython: $(UNIX)
	@$< micropython
$(BIN)/micropython32: $(UNIX)
	@$< micropython32
$(BIN)/micropython32-frozen: $(UNIX) tools/setup/manifest_frozen.py $(DEVICE)
	@$< micropython32-frozen

# MicroPython for emulated chips, and the verifier as a native module for each architecture.
CHIPS := $(addprefix $(BIN)/micropython-,armv6m armv7emsp rv32imc)
BOARDS := tools/setup/manifest_none.py $(wildcard tools/setup/qemu/*/*)
$(CHIPS): $(BIN)/%: tools/setup/build.sh $(BOARDS) $(BIN)/mpy-cross build/.chips
	@$< $*

$(BIN)/micropython-usermod: $(UNIX) $(wildcard lib/ed25519/*.[chS] lib/ed25519/*.mk)
	@$< micropython-usermod

RELEASED := x64 armv6m armv7emsp rv32imc xtensawin
MODULES := $(foreach arch,$(RELEASED) armv7m,build/natmod/$(arch)/ota_ed25519.mpy)
NATMOD := tools/setup/natmod.sh $(wildcard lib/ed25519/natmod/* lib/ed25519/*.[chS]) \
    build/.source build/.chips
$(MODULES): build/natmod/%/ota_ed25519.mpy: $(NATMOD) | build/venv/.stamp
	@$< $*
build/natmod/xtensawin/ota_ed25519.mpy: build/.clang $(wildcard tools/setup/xtensa/*)

.PHONY: natmod
natmod: $(MODULES) ## build the verifier for every architecture into lib/ed25519/ARCH_6.3
	@for arch in $(RELEASED); do \
	    cp build/natmod/$$arch/{ota_ed25519.mpy,compiler.txt} lib/ed25519/$${arch}_6.3/ || exit 1; \
	done
	@$(VENV)/python tools/setup/natmod_digests.py

# Firmware of boards/rp2040, linked for both slots; the one for the tests has their application.
FIRMWARE := tools/setup/firmware.sh $(shell find boards/rp2040 -name '*.cmake' -o -name '*.h') \
    $(wildcard boards/rp2040/*.py) $(wildcard lib/ed25519/*.[chS]) $(DEVICE) \
    build/.rp2 build/.chips $(BIN)/mpy-cross
build/rp2040/%/firmware-b.bin: $(FIRMWARE)
	@$< build/rp2040/$* $(firstword $(subst -, ,$*))
build/rp2040/test/firmware-b.bin build/rp2040/test-newer/firmware-b.bin: \
    build/rp2040/%/firmware-b.bin: $(FIRMWARE) $(wildcard host_tests/rp2_firmware/*)
	@OTA_FACTORY= $< build/rp2040/$* OTA_PICO host_tests/rp2_firmware/manifest.py
# What stock firmware is, two versions of it and two small changes, for figures of packs.
PLAIN := build/rp2040/plain-newer/firmware-b.bin \
    $(patsubst %,build/rp2040/%/firmware-b.bin,plain plain_added plain_changed)
PLAIN_FROM := tools/setup/firmware.sh $(shell find boards/rp2040 -name '*.cmake' -o -name '*.h') \
    $(wildcard host_tests/rp2_firmware/manifest*) build/.rp2 build/.chips $(BIN)/mpy-cross
$(PLAIN): build/rp2040/%/firmware-b.bin: $(PLAIN_FROM)
	@OTA_FACTORY= $< build/rp2040/$* OTA_PICO \
	    host_tests/rp2_firmware/manifest_$(firstword $(subst -, ,$*)).py

# The port's own board, without `ota`.
build/rp2040/stock/firmware.bin: tools/setup/firmware_stock.sh build/.rp2 build/.chips \
    $(BIN)/mpy-cross host_tests/rp2_firmware/manifest_stock.py
	@$< $@

.PHONY: firmware
firmware: BOARD ?= OTA_PICO
firmware: $(BIN)/mpy-cross build/.rp2 build/.chips ## build BOARD= VARIANT= MANIFEST= OTA_FACTORY= for both slots
	@tools/setup/firmware.sh build/rp2040/$(BOARD)$(VARIANT:%=-%) $(BOARD) $(abspath $(MANIFEST))
	@ls build/rp2040/$(BOARD)$(VARIANT:%=-%)/firmware-[ab].bin

.PHONY: bootloader
bootloader: build/.rp2 build/.chips ## build the RP2040's bootloader into boards/rp2040/boot
	@unset MAKEFLAGS MFLAGS MAKELEVEL; $(MAKE) -s -C boards/rp2040/boot keep

.PHONY: chips
chips: setup ## get and build what tests on emulated chips need besides
chips: $(CHIPS) $(BIN)/micropython-usermod $(MODULES) build/.rp2 build/.node
chips: build/rp2040/test/firmware-b.bin build/rp2040/stock/firmware.bin

.PHONY: lock
lock: build/venv/.stamp ## choose the newest Python packages and write requirements.lock
	$(VENV)/pip install -q uv
	$(VENV)/uv pip compile -q --universal --python-version 3.10 --upgrade --generate-hashes \
	    --no-annotate --no-header --extra dev pyproject.toml -o requirements.lock

# ---- checks

.PHONY: test
test: chips ## all tests, on CPython and on MicroPython 64- and 32-bit
	$(PYTEST) -n auto --dist worksteal $(ARGS)

.PHONY: test-fast
test-fast: chips ## the tests that take under a minute together
	$(PYTEST) -n auto --dist worksteal -m "not slow" $(ARGS)

.PHONY: soak
soak: chips build/rp2040/test-newer/firmware-b.bin ## all tests, those over many cases with far more of them
	SOAK=1 $(PYTEST) -n auto --dist worksteal $(ARGS)

.PHONY: fuzz-ed25519
fuzz-ed25519: build/venv/.stamp ## fuzz the verifier in C against the one in Python: ARGS="--seconds 600"
	cd host_tests && PYTHONPATH=../lib ../$(VENV)/python -m ed25519_fuzz $(ARGS)

.PHONY: lint
lint: setup ## style, spelling, types, and does every device file compile
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/codespell
	$(VENV)/mypy
	@for file in $(DEVICE); do $(BIN)/mpy-cross -march=xtensawin -o /dev/null $$file || exit 1; done
	@for script in .ci/run tools/setup/*.sh; do bash -n $$script || exit 1; done
	@! git ls-files '*.py' '*.sh' '*.c' '*.h' '*.toml' Makefile .ci/run \
	    | xargs grep -L 'SPDX-License-Identifier: MIT' | sed 's/$$/: no SPDX line/' | grep . >&2

.PHONY: format
format: setup ## put the layout of all Python files right
	$(VENV)/ruff check --fix --select I .
	$(VENV)/ruff format .

.PHONY: docs
docs: setup ## write docs/CLI.md and docs/API.md from the code
	cd tools && ../$(VENV)/python -m mpota.clidoc >../build/CLI.md && mv ../build/CLI.md ../docs
	cd tools && ../$(VENV)/python -m mpota.apidoc >../build/API.md && mv ../build/API.md ../docs

.PHONY: packages
packages: setup ## write package.json and mpy/, what `mpremote mip install` reads
	MPY_CROSS=$(abspath $(BIN)/mpy-cross) $(VENV)/python tools/setup/mip_packages.py

.PHONY: size
size: setup ## sizes on a device, compared with size.csv and their bars
	$(VENV)/python tools/bench/run.py --only size

.PHONY: size-update
size-update: setup ## write today's sizes to size.csv
	$(VENV)/python tools/bench/run.py --only size --update-size

.PHONY: bench
bench: chips $(BIN)/micropython32-frozen build/rp2040/test-newer/firmware-b.bin $(PLAIN) ## every figure of the project, into build/bench.json
	$(VENV)/python tools/bench/run.py $(ARGS)

.PHONY: demo
demo: setup ## watch a simulated device being updated, cut, attacked and saved
	$(VENV)/python examples/demo/demo.py $(ARGS)

.PHONY: ci
ci: ## what a CI run does
	.ci/run

.PHONY: clean
clean: ## remove all that was built or fetched
	rm -rf build .pytest_cache .mypy_cache .ruff_cache
