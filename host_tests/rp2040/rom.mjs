// SPDX-License-Identifier: MIT
// A boot ROM of our own. Programs find its functions the way they do on a chip: through the table
// look-up at 0x18. Each function is `bkpt #n; bx lr` in the ROM's memory, and its work is done
// here. The boot decision (datasheet 2.8.1) is boot() at the end.

import { ChipError } from './parts.mjs';

const BOOT2_RUN = 0x20041f00;           // where the ROM puts boot2, and its stack below
const BOOT2_SIZE = 256;
const REBOOT_MAGIC = 0xb007c0d3;

const words = new Uint32Array(2);
const floats = new Float32Array(words.buffer, 0, 1);
const doubles = new Float64Array(words.buffer);

const code = (name) => name.charCodeAt(0) | (name.charCodeAt(1) << 8);

// CRC-32 of the ROM: most significant bit first, no final inversion.
export function bootCrc(bytes) {
    let crc = 0xffffffff;
    for (const byte of bytes) {
        crc ^= byte << 24;
        for (let i = 0; i < 8; i++) {
            crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
        }
    }
    return crc >>> 0;
}

const clamp = (x, low, high) => (Number.isNaN(x) ? 0 : x < low ? low : x > high ? high : x);
const I64 = [-(2n ** 63n), 2n ** 63n - 1n];
const U64 = [0n, 2n ** 64n - 1n];

function big(x, [low, high]) {
    if (Number.isNaN(x)) {
        return 0n;
    }
    if (!Number.isFinite(x)) {
        return x < 0 ? low : high;
    }
    const whole = BigInt(Math.floor(x));
    return whole < low ? low : whole > high ? high : whole;
}

export class Rom {
    constructor(chip) {
        this.chip = chip;
        this.bytes = new Uint8Array(16384);
        this.functions = [];
        this.build();
    }

    // Runs function `number`; registers as the caller left them.
    call(number) {
        this.functions[number](this.chip.cpu.r);
    }

    build() {
        const view = new DataView(this.bytes.buffer);
        let end = 0x100;
        const place = (work) => {
            const number = this.functions.push(work) - 1;
            view.setUint16(end, 0xbe00 | number, true);
            view.setUint16(end + 2, 0x4770, true);
            end += 4;
            return (end - 4) | 1;
        };
        const functions = Object.entries(this.library()).map(([name, work]) => [
            code(name), place(work)]);
        const lookUp = place((r) => this.lookUp(r));
        const float = this.arithmetic(false).map(place);
        const double = this.arithmetic(true).map(place);
        if (this.functions.length > 256) {
            throw new Error('too many ROM functions for the number of a BKPT');
        }
        end = (end + 7) & ~7;
        const table = (entries) => {
            const start = end;
            for (const [key, value] of entries) {
                view.setUint16(end, key, true);
                view.setUint16(end + 2, value, true);
                end += 4;
            }
            end += 4;
            return start;
        };
        const vectors = (addresses) => {
            end += 4;
            this.bytes[end - 2] = addresses.length;     // length in words, before the first
            const start = end;
            for (const address of addresses) {
                view.setUint32(end, address, true);
                end += 4;
            }
            return start;
        };
        const functionTable = table(functions);
        const SF = vectors(float);
        const SD = vectors(double);
        const dataTable = table([[code('SF'), SF], [code('SD'), SD]]);
        view.setUint32(0x00, BOOT2_RUN, true);
        view.setUint32(0x04, 0x101, true);
        view.setUint32(0x08, 0, true);                  // no NMI and no HardFault of its own
        view.setUint32(0x0c, 0, true);
        this.bytes.set([0x4d, 0x75, 1, 3], 0x10);       // "Mu", 1, version of the B2 chip
        view.setUint16(0x14, functionTable, true);
        view.setUint16(0x16, dataTable, true);
        view.setUint16(0x18, lookUp, true);
    }

    lookUp(r) {
        const { cpu } = this.chip;
        for (let entry = r[0]; ; entry += 4) {
            const key = cpu.read16(entry);
            this.spend(6);
            if (!key) {
                r[0] = 0;
                return;
            }
            if (key === (r[1] & 0xffff)) {
                r[0] = cpu.read16(entry + 2);
                return;
            }
        }
    }

    spend(cycles) {
        this.chip.cpu.used += cycles;
    }

    copy(to, from, length) {
        const { chip } = this;
        const source = chip.memory(from, length);
        const target = chip.ram(to, length);
        if (source && target) {
            target.set(source);
        } else {
            for (let i = 0; i < length; i++) {
                chip.cpu.write8(to + i, chip.cpu.read8(from + i));
            }
        }
        this.spend(12 + Math.ceil(length / 2));
    }

    fill(to, value, length) {
        const target = this.chip.ram(to, length);
        if (target) {
            target.fill(value);
        } else {
            for (let i = 0; i < length; i++) {
                this.chip.cpu.write8(to + i, value);
            }
        }
        this.spend(12 + Math.ceil(length / 3));
    }

    library() {
        const copy = (r) => this.copy(r[0] >>> 0, r[1] >>> 0, r[2] >>> 0);
        const fill = (r) => this.fill(r[0] >>> 0, r[1] & 0xff, r[2] >>> 0);
        return {
            P3: (r) => {
                let count = 0;
                for (let x = r[0]; x; x &= x - 1) {
                    count++;
                }
                r[0] = count;
                this.spend(15);
            },
            R3: (r) => {
                let y = 0;
                for (let i = 0; i < 32; i++) {
                    y = (y << 1) | ((r[0] >>> i) & 1);
                }
                r[0] = y;
                this.spend(20);
            },
            L3: (r) => {
                r[0] = Math.clz32(r[0]);
                this.spend(15);
            },
            T3: (r) => {
                r[0] = r[0] ? 31 - Math.clz32(r[0] & -r[0]) : 32;
                this.spend(15);
            },
            MC: copy,
            C4: copy,
            MS: fill,
            S4: fill,
            UB: () => this.chip.resetUsbBoot(),
            IF: () => this.chip.connectFlash(),
            EX: () => this.chip.exitXip(),
            RE: (r) => this.erase(r[0] >>> 0, r[1] >>> 0, r[2] >>> 0, r[3] & 0xff),
            RP: (r) => this.program(r[0] >>> 0, r[1] >>> 0, r[2] >>> 0),
            FC: () => this.chip.flushCache(),
            CX: () => this.chip.slowXip(),
        };
    }

    // Whole blocks with the given command where they fit, sectors elsewhere.
    erase(offset, length, blockSize, blockCommand) {
        const { chip } = this;
        chip.beginFlashCommand('flash_range_erase');
        const end = offset + length;
        while (offset < end) {
            const block = blockSize > 4096 && offset % blockSize === 0 && offset + blockSize <= end;
            if (block && ![0x52, 0xd8].includes(blockCommand)) {
                throw new ChipError(`flash_range_erase: no block command ${blockCommand}`);
            }
            const size = block ? blockSize : 4096;
            chip.operateFlash(() => chip.flash.erase(offset, size));
            if (chip.resetting) {
                return;
            }
            offset += size;
        }
    }

    program(offset, address, length) {
        const { chip } = this;
        chip.beginFlashCommand('flash_range_program');
        for (let at = 0; at < length; at += 256) {
            // Without rounding or bounds, as in the ROM; reading goes over the bus, so a source in
            // the flash is found out.
            const data = new Uint8Array(256);
            for (let i = 0; i < 256; i++) {
                data[i] = chip.cpu.read8(address + at + i);
            }
            chip.operateFlash(() => chip.flash.program(offset + at, data));
            if (chip.resetting) {
                return;
            }
        }
    }

    // Floating point of the ROM, one or two registers per number. NaN and denormals as JavaScript
    // has them: what a program prints is right, its last bit may not be.
    arithmetic(double) {
        const { chip } = this;
        const size = double ? 2 : 1;
        const cost = double ? 90 : 60;
        const get = (r, i) => {
            if (double) {
                words[0] = r[i];
                words[1] = r[i + 1];
                return doubles[0];
            }
            words[0] = r[i];
            return floats[0];
        };
        const put = (r, x) => {
            if (double) {
                doubles[0] = x;
                r[0] = words[0];
                r[1] = words[1];
            } else {
                floats[0] = x;
                r[0] = words[0];
            }
        };
        const wide = (r, signed) => {
            const value = (BigInt(r[1] >>> 0) << 32n) | BigInt(r[0] >>> 0);
            return signed ? BigInt.asIntN(64, value) : value;
        };
        const putWide = (r, value) => {
            value = BigInt.asUintN(64, value);
            r[0] = Number(value & 0xffffffffn);
            r[1] = Number(value >> 32n);
        };
        const timed = (work) => (r) => {
            work(r);
            this.spend(cost);
        };
        const two = (f) => timed((r) => put(r, f(get(r, 0), get(r, size))));
        const one = (f) => timed((r) => put(r, f(get(r, 0))));
        const missing = (name) => () => {
            throw new ChipError(`boot ROM: ${name} is not modelled`);
        };
        const integer = (low, high, fixed) => timed((r) => {
            const scale = fixed ? 2 ** (r[size] | 0) : 1;
            r[0] = clamp(Math.floor(get(r, 0) * scale), low, high);
        });
        const signed = [-(2 ** 31), 2 ** 31 - 1];
        const unsigned = [0, 2 ** 32 - 1];
        return [
            two((x, y) => x + y), two((x, y) => x - y), two((x, y) => x * y),
            two((x, y) => x / y), missing('fcmp_fast'),
            (r) => {                                    // the result is in the flags
                const { cpu } = chip;
                const x = get(r, 0);
                const y = get(r, size);
                cpu.nz = x === y ? 0 : x < y ? -1 : 1;
                cpu.c = x < y ? 0 : 1;
                cpu.v = 0;
                this.spend(20);
            },
            one(Math.sqrt), integer(...signed, false), integer(...signed, true),
            integer(...unsigned, false), integer(...unsigned, true),
            timed((r) => put(r, r[0])), timed((r) => put(r, r[0] * 2 ** -r[1])),
            timed((r) => put(r, r[0] >>> 0)), timed((r) => put(r, (r[0] >>> 0) * 2 ** -r[1])),
            one(Math.cos), one(Math.sin), one(Math.tan), missing('sincos'), one(Math.exp),
            one(Math.log),
            timed((r) => {
                const x = get(r, 0);
                const y = get(r, size);
                r[0] = x < y ? -1 : x > y ? 1 : 0;
            }),
            two(Math.atan2),
            timed((r) => put(r, Number(wide(r, true)))),
            timed((r) => put(r, Number(wide(r, true)) * 2 ** -r[2])),
            timed((r) => put(r, Number(wide(r, false)))),
            timed((r) => put(r, Number(wide(r, false)) * 2 ** -r[2])),
            timed((r) => putWide(r, big(get(r, 0), I64))),
            timed((r) => putWide(r, big(get(r, 0) * 2 ** r[size], I64))),
            timed((r) => putWide(r, big(get(r, 0), U64))),
            timed((r) => putWide(r, big(get(r, 0) * 2 ** r[size], U64))),
            timed((r) => {                              // the other precision
                if (double) {
                    floats[0] = get(r, 0);
                    r[0] = words[0];
                } else {
                    doubles[0] = get(r, 0);
                    r[0] = words[0];
                    r[1] = words[1];
                }
            }),
        ];
    }

    // What the ROM does after a reset of core 0. Sets the processor up for what it starts, or
    // leaves the chip in USB boot mode.
    boot() {
        const { chip } = this;
        const { cpu, watchdog } = chip;
        const [magic, check, stack, entry] = watchdog.scratch.slice(4);
        this.spend(300);
        if (magic === REBOOT_MAGIC && check === (entry ^ -REBOOT_MAGIC) >>> 0) {
            watchdog.scratch[4] = 0;                    // once
            chip.enter(entry, stack);
            return;
        }
        // A flash that is busy with an erase answers nothing. The ROM tries 128 times.
        chip.exitXip();
        const patience = chip.options.romPatience;
        const busy = Math.max(0, chip.flash.busyUntil - chip.clock.nanos);
        if (busy > patience) {
            chip.stop('usb-boot', 'the flash was busy for longer than the boot ROM waits');
            return;
        }
        chip.clock.pass(busy);
        const boot2 = chip.flash.cells.slice(0, BOOT2_SIZE);
        const expected = new DataView(boot2.buffer).getUint32(BOOT2_SIZE - 4, true);
        this.spend(14000);                              // read and checked, bit by bit
        if (bootCrc(boot2.subarray(0, BOOT2_SIZE - 4)) !== expected) {
            chip.clock.pass(patience);
            chip.stop('usb-boot', 'no valid boot2');
            return;
        }
        chip.ram(BOOT2_RUN, BOOT2_SIZE).set(boot2);
        chip.flushCache();                              // boot2 has to map the flash itself
        cpu.r[14] = 0;                                  // boot2: go on to the vectors behind you
        chip.enter(BOOT2_RUN | 1, BOOT2_RUN);
    }
}
