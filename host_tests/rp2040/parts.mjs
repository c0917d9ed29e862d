// SPDX-License-Identifier: MIT
// The parts of the chip whose difference from a convenient fake decides between a board that
// updates and a board that is dead: clocks, resets, watchdog, the way to the flash.
// Sources: RP2040 datasheet 2.13-2.17 (power-on state machine, clocks, resets, XOSC, PLL), 4.6
// (timer), 4.7 (watchdog), 4.10 (SSI), erratum E1.

import { BasePeripheral } from './rp2040js.mjs';

export const XOSC_HERTZ = 12e6;
export const ROSC_HERTZ = 6.5e6;

// A mistake of the program that a chip would answer with garbage or silence. It ends the run.
export class ChipError extends Error {}

// Counts at a frequency that may change, in whole ticks.
class Ticks {
    constructor(clock) {
        this.clock = clock;
        this.base = 0;
        this.since = clock.nanos;
        this.hertz = 0;
    }

    get count() {
        return Math.floor(this.exact);
    }

    get exact() {
        return this.base + ((this.clock.nanos - this.since) * this.hertz) / 1e9;
    }

    set(value) {
        this.base = value;
        this.since = this.clock.nanos;
    }

    setFrequency(hertz) {
        this.set(this.exact);
        this.hertz = hertz;
    }

    nanosTo(count) {
        // A little later rather than earlier, so that the count is there when the alarm rings.
        return ((count - this.exact) * 1e9) / this.hertz + 0.01;
    }
}

// Crystal oscillator: takes its time until it is stable, 0 Hz before.
export class Xosc extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'XOSC');
        this.chip = chip;
        this.ctrl = 0;
        this.startup = 0xc4;
        this.stableAt = Infinity;
    }

    get stable() {
        return this.chip.clock.nanos >= this.stableAt;
    }

    get frequency() {
        return this.stable ? XOSC_HERTZ : 0;
    }

    readUint32(offset) {
        switch (offset) {
            case 0x00:
                return this.ctrl;
            case 0x04:
                return (this.stable ? 0x80000000 : 0) | (this.stableAt < Infinity ? 0x1000 : 0);
            case 0x0c:
                return this.startup;
            case 0x1c:
                return 0;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        switch (offset) {
            case 0x00: {
                this.ctrl = value;
                const enable = (value >>> 12) & 0xfff;
                if (enable === 0xfab && this.stableAt === Infinity) {
                    const cycles = (this.startup & 0x3fff) * 256 * (this.startup >> 20 ? 4 : 1);
                    this.stableAt = this.chip.clock.nanos + (cycles * 1e9) / XOSC_HERTZ;
                } else if (enable === 0xd1e) {
                    this.stableAt = Infinity;
                    this.chip.clocksChanged();
                }
                return;
            }
            case 0x04:
                return;
            case 0x08:
                throw new ChipError('XOSC: dormant mode is not modelled');
            case 0x0c:
                this.startup = value;
                return;
            case 0x1c:
                return;
        }
        super.writeUint32(offset, value);
    }
}

// Ring oscillator: always runs here; its random bit is a random bit of the seed.
export class Rosc extends BasePeripheral {
    constructor(mcu, random) {
        super(mcu, 'ROSC');
        this.random = random;
        this.registers = new Map([[0x00, 0xaa0], [0x10, 0xaa0]]);
    }

    readUint32(offset) {
        if (offset === 0x18) {
            return 0x80001000;
        }
        if (offset === 0x1c) {
            return this.random() & 1;
        }
        return this.registers.get(offset) ?? 0;
    }

    writeUint32(offset, value) {
        if (offset === 0 && ((value >>> 12) & 0xfff) === 0xd1e) {
            throw new ChipError('ROSC: switched off, which is not modelled');
        }
        if (offset === 0x08) {
            throw new ChipError('ROSC: dormant mode is not modelled');
        }
        this.registers.set(offset, value);
    }
}

// Locks only when it is powered, set up within its bounds and fed by a stable crystal.
export class Pll extends BasePeripheral {
    constructor(mcu, name, chip) {
        super(mcu, name);
        this.chip = chip;
        this.cs = 1;
        this.pwr = 0x2d;
        this.fbdiv = 0;
        this.prim = 0x77000;
    }

    get locked() {
        const vco = (XOSC_HERTZ / (this.cs & 0x3f || 1)) * this.fbdiv;
        return !(this.pwr & 0x21) && this.chip.xosc.stable && this.fbdiv >= 16
            && this.fbdiv <= 320 && vco >= 750e6 && vco <= 1600e6;
    }

    get frequency() {
        if (!this.locked || this.pwr & 0x8) {
            return 0;
        }
        const postdiv = ((this.prim >>> 16) & 7) * ((this.prim >>> 12) & 7);
        return ((XOSC_HERTZ / (this.cs & 0x3f)) * this.fbdiv) / postdiv;
    }

    readUint32(offset) {
        switch (offset) {
            case 0x0:
                return (this.cs & 0x13f) | (this.locked ? 0x80000000 : 0);
            case 0x4:
                return this.pwr;
            case 0x8:
                return this.fbdiv;
            case 0xc:
                return this.prim;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        switch (offset) {
            case 0x0:
                this.cs = value;
                break;
            case 0x4:
                this.pwr = value & 0x2d;
                break;
            case 0x8:
                this.fbdiv = value & 0xfff;
                break;
            case 0xc:
                this.prim = value;
                break;
            default:
                super.writeUint32(offset, value);
                return;
        }
        this.chip.clocksChanged();
    }
}

const CLK_REF = 0x30;
const CLK_SYS = 0x3c;
const CLK_PERI = 0x48;

// Clock generators. A glitchless multiplexer takes the other source at once.
export class Clocks extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'CLOCKS');
        this.chip = chip;
        this.registers = new Uint32Array(0xc8 / 4);
        for (let divider = 0x04; divider < 0x78; divider += 12) {
            this.registers[divider / 4] = 0x100;
        }
    }

    source(name) {
        const { chip } = this;
        switch (name) {
            case 'rosc':
                return ROSC_HERTZ;
            case 'xosc':
                return chip.xosc.frequency;
            case 'pll_sys':
                return chip.pllSys.frequency;
            case 'pll_usb':
                return chip.pllUsb.frequency;
        }
        throw new ChipError(`clock input ${name} is not modelled`);
    }

    get refSource() {
        const ctrl = this.registers[CLK_REF / 4];
        return ['rosc', ['pll_usb', 'gpin0', 'gpin1', '?'][(ctrl >>> 5) & 3], 'xosc', '?'][ctrl & 3];
    }

    get sysSource() {
        const ctrl = this.registers[CLK_SYS / 4];
        return ctrl & 1
            ? ['pll_sys', 'pll_usb', 'rosc', 'xosc', 'gpin0', 'gpin1', '?', '?'][(ctrl >>> 5) & 7]
            : 'ref';
    }

    get refFreq() {
        const divider = (this.registers[(CLK_REF + 4) / 4] >>> 8) & 3;
        return this.source(this.refSource) / (divider || 4);
    }

    get sysFreq() {
        const source = this.sysSource;
        const hertz = source === 'ref' ? this.refFreq : this.source(source);
        return hertz / (this.registers[(CLK_SYS + 4) / 4] / 256 || 65536);
    }

    get periFreq() {
        const ctrl = this.registers[CLK_PERI / 4];
        if (!(ctrl & 0x800)) {
            return 0;
        }
        const source = ['sys', 'pll_sys', 'pll_usb', 'rosc', 'xosc', '?', '?', '?'][(ctrl >>> 5) & 7];
        return source === 'sys' ? this.sysFreq : this.source(source);
    }

    readUint32(offset) {
        if (offset === CLK_REF + 8) {
            return 1 << (this.registers[CLK_REF / 4] & 3);
        }
        if (offset === CLK_SYS + 8) {
            return 1 << (this.registers[CLK_SYS / 4] & 1);
        }
        if (offset < 0x78 && offset % 12 === 8) {
            return 1;
        }
        if (offset < 0x78 || (offset >= 0xa0 && offset < 0xc8) || offset === 0x78) {
            return this.registers[offset / 4];
        }
        if (offset === 0x7c) {
            return 0;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset >= 0xc8 || (offset > 0x7c && offset < 0xa0)) {
            super.writeUint32(offset, value);
            return;
        }
        if (offset === CLK_SYS) {
            const old = this.registers[CLK_SYS / 4];
            if (old & 1 && (old ^ value) & 0xe0) {
                throw new ChipError('clk_sys: its auxiliary source was changed while in use');
            }
        }
        this.registers[offset / 4] = value;
        if (offset < 0x54) {
            this.chip.clocksChanged();
        }
    }
}

// What a watchdog or PSM reset reaches.
export class Psm extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'PSM');
        this.chip = chip;
        this.wdsel = 0;
    }

    readUint32(offset) {
        switch (offset) {
            case 0x0: case 0x4:
                return this.force?.[offset] ?? 0;
            case 0x8:
                return this.wdsel;
            case 0xc:
                return 0x1ffff;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset === 0x8) {
            this.wdsel = value & 0x1ffff;
        } else if (offset <= 0x4) {
            // Holding core 1 down and letting it go is all that programs do with it.
            if (value & 0xffff) {
                throw new ChipError('PSM: only core 1 can be forced here');
            }
            if (offset === 0x4 && this.force?.[offset] && !value) {
                this.chip.coreOneAnswers = true;        // its ROM says that it is up: a 0
            }
            (this.force ??= {})[offset] = value;
        } else {
            super.writeUint32(offset, value);
        }
    }
}

const RESET_BITS = 0x1ffffff;
// Bit of RESETS for the block at an address >>> 14.
const RESET_OF = new Map([
    [0x5000_0000, 2], [0x4004_4000, 3], [0x4004_8000, 4], [0x4001_4000, 5], [0x4001_8000, 6],
    [0x4001_c000, 8], [0x4002_0000, 9], [0x5020_0000, 10], [0x5030_0000, 11],
    [0x4002_8000, 12], [0x4002_c000, 13], [0x4005_0000, 14], [0x4005_c000, 15],
    [0x4003_c000, 16], [0x4004_0000, 17], [0x4000_4000, 18], [0x4000_0000, 19],
    [0x4006_c000, 20], [0x4005_4000, 21], [0x4003_4000, 22], [0x4003_8000, 23],
    [0x5011_0000, 24], [0x4004_c000, 0], [0x4003_0000, 1], [0x5010_0000, 24],
].map(([address, bit]) => [address >>> 14, 1 << bit]));

// All blocks are held in reset until a program lets them go; the boot ROM lets go of those that it
// needs for the flash.
export class Resets extends BasePeripheral {
    constructor(mcu) {
        super(mcu, 'RESETS');
        this.held = RESET_BITS;
        this.wdsel = 0;
    }

    // The bit that must be clear for an access to `address`, 0 for what is never in reset.
    static of(address) {
        return RESET_OF.get(address >>> 14) ?? 0;
    }

    readUint32(offset) {
        switch (offset) {
            case 0x0:
                return this.held;
            case 0x4:
                return this.wdsel;
            case 0x8:
                return RESET_BITS & ~this.held;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset === 0) {
            this.held = value & RESET_BITS;
        } else if (offset === 4) {
            this.wdsel = value & RESET_BITS;
        } else {
            super.writeUint32(offset, value);
        }
    }
}

const TRIGGER = 0x80000000;
const ENABLE = 0x40000000;

// Watchdog and tick generator. It counts only while the ticks run, down by two at each of them
// (erratum E1), in 24 bits. Scratch registers and the reason outlive its resets.
export class Watchdog extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'WATCHDOG');
        this.chip = chip;
        this.scratch = new Uint32Array(8);
        this.reason = 0;
        this.ctrl = 0x07000000;
        this.tick = 0x200;              // enabled, but for 0 cycles: no ticks yet
        this.ticks = new Ticks(chip.clock);
        this.load = 0;
        this.alarm = chip.clock.createAlarm(() => this.expire());
    }

    get tickHertz() {
        const cycles = this.tick & 0x1ff;
        return this.tick & 0x200 && cycles ? this.chip.clocks.refFreq / cycles : 0;
    }

    get counter() {
        return Math.max(0, this.load - 2 * this.ticks.count);
    }

    // To be called whenever the frequency of the ticks may be another one.
    retime() {
        this.ticks.setFrequency(this.ctrl & ENABLE ? this.tickHertz : 0);
        this.alarm.cancel();
        if (this.ticks.hertz && this.armed) {
            this.alarm.schedule(Math.max(0, this.ticks.nanosTo(Math.ceil(this.load / 2))));
        }
    }

    expire() {
        this.armed = false;
        this.reason = 1;
        this.chip.watchdogFires('timer');
    }

    readUint32(offset) {
        switch (offset) {
            case 0x00:
                return this.ctrl | this.counter;
            case 0x08:
                return this.reason;
            case 0x2c:
                return (this.tick & 0x3ff) | (this.tickHertz ? 0x400 : 0);
        }
        if (offset >= 0x0c && offset <= 0x28) {
            return this.scratch[(offset - 0x0c) >> 2];
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        switch (offset) {
            case 0x00:
                this.ctrl = value & 0x47000000;
                if (value & TRIGGER) {
                    this.reason = 2;
                    this.chip.watchdogFires('forced');
                }
                this.armed = true;
                break;
            case 0x04:
                this.load = value & 0xffffff;
                this.ticks.set(0);
                this.armed = true;
                break;
            case 0x2c:
                this.tick = value & 0x3ff;
                this.chip.clocksChanged();
                break;
            default:
                if (offset >= 0x0c && offset <= 0x28) {
                    this.scratch[(offset - 0x0c) >> 2] = value;
                    return;
                }
                super.writeUint32(offset, value);
                return;
        }
        this.retime();
    }
}

// Microseconds since power-on, if the ticks make them so. Four alarms.
export class Timer extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'TIMER');
        this.mcu = mcu;
        this.ticks = new Ticks(chip.clock);
        this.latched = 0;
        this.raw = 0;
        this.enabled = 0;
        this.forced = 0;
        this.targets = [0, 0, 0, 0];
        this.armed = 0;
        this.alarms = [0, 1, 2, 3].map((i) => chip.clock.createAlarm(() => this.ring(i)));
    }

    retime(hertz) {
        this.ticks.setFrequency(this.paused ? 0 : hertz);
        this.hertz = hertz;
        for (let i = 0; i < 4; i++) {
            this.plan(i);
        }
    }

    plan(i) {
        this.alarms[i].cancel();
        if (this.armed & (1 << i) && this.ticks.hertz) {
            const now = this.ticks.count;
            const ahead = (this.targets[i] - now) >>> 0;
            this.alarms[i].schedule(Math.max(0, this.ticks.nanosTo(now + ahead)));
        }
    }

    ring(i) {
        this.armed &= ~(1 << i);
        this.raw |= 1 << i;
        this.interrupt();
    }

    interrupt() {
        const status = (this.raw & this.enabled) | this.forced;
        for (let i = 0; i < 4; i++) {
            this.mcu.setInterrupt(i, !!(status & (1 << i)));
        }
    }

    readUint32(offset) {
        const now = this.ticks.count;
        switch (offset) {
            case 0x08:
                return this.latched;
            case 0x0c:
                this.latched = Math.floor(now / 2 ** 32);
                return now >>> 0;
            case 0x10: case 0x14: case 0x18: case 0x1c:
                return this.targets[(offset - 0x10) >> 2];
            case 0x20:
                return this.armed;
            case 0x24:
                return Math.floor(now / 2 ** 32);
            case 0x28:
                return now >>> 0;
            case 0x2c:
                return 3;
            case 0x30:
                return this.paused ? 1 : 0;
            case 0x34:
                return this.raw;
            case 0x38:
                return this.enabled;
            case 0x3c:
                return this.forced;
            case 0x40:
                return (this.raw & this.enabled) | this.forced;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        switch (offset) {
            case 0x00:                  // TIMEHW, taken together with TIMELW
                this.ticks.set((value >>> 0) * 2 ** 32 + (this.low ?? 0));
                return;
            case 0x04:
                this.low = value >>> 0;
                return;
            case 0x10: case 0x14: case 0x18: case 0x1c: {
                const i = (offset - 0x10) >> 2;
                this.targets[i] = value >>> 0;
                this.armed |= 1 << i;
                this.plan(i);
                return;
            }
            case 0x20:
                this.armed &= ~this.rawWriteValue;
                for (let i = 0; i < 4; i++) {
                    this.plan(i);
                }
                return;
            case 0x2c:
                return;
            case 0x30:
                this.paused = !!(value & 1);
                this.retime(this.hertz);
                return;
            case 0x34:
                this.raw &= ~this.rawWriteValue;
                break;
            case 0x38:
                this.enabled = value & 0xf;
                break;
            case 0x3c:
                this.forced = value & 0xf;
                break;
            default:
                super.writeUint32(offset, value);
                return;
        }
        this.interrupt();
    }
}

// Why the chip was reset, as far as the power supply and the RUN pin are concerned.
export class ChipReset extends BasePeripheral {
    constructor(mcu, cause) {
        super(mcu, 'VREG_AND_CHIP_RESET');
        this.cause = cause;
        this.registers = { 0: 0xb1, 4: 0x91 };
    }

    readUint32(offset) {
        switch (offset) {
            case 0x0:
                return this.registers[0] | 0x1000;
            case 0x4:
                return this.registers[4];
            case 0x8:
                return this.cause === 'run' ? 1 << 16 : 1 << 8;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset <= 4) {
            this.registers[offset] = value;
        } else if (offset !== 8) {
            super.writeUint32(offset, value);
        }
    }
}

// Pins of the flash: only the override of its chip select matters.
export class IoQspi extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'IO_QSPI');
        this.chip = chip;
        this.ctrl = new Uint32Array(6);
    }

    // 0 or 1 for a forced level of the pin, undefined while the SSI drives it.
    get chipSelect() {
        return [undefined, undefined, 0, 1][(this.ctrl[1] >>> 8) & 3];
    }

    forceChipSelect(level) {
        this.ctrl[1] = (this.ctrl[1] & ~0x300) | (level === undefined ? 0 : 0x200 | (level << 8));
        this.chip.flashWayChanged();
    }

    readUint32(offset) {
        if (offset < 0x30) {
            return offset & 4 ? this.ctrl[offset >> 3] : 0;
        }
        if (offset <= 0x54) {
            return 0;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset < 0x30) {
            if (offset & 4) {
                this.ctrl[offset >> 3] = value;
                this.chip.flashWayChanged();
            }
        } else if (offset > 0x54) {
            super.writeUint32(offset, value);
        }
    }
}

const CACHE_SETS = 1024;
const LINE = 8;

// Cache of the execute-in-place flash: 16 KB, two ways, lines of 8 bytes. It keeps no bytes here,
// only which ones would be in it, for those who ask for the time that flash takes.
export class XipCtrl extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'XIP_CTRL');
        this.chip = chip;
        this.ctrl = 3;
        this.flush();
    }

    flush() {
        this.tags = new Int32Array(2 * CACHE_SETS).fill(-1);
    }

    // True when a read at `address` finds its line in the cache; it will the next time.
    hit(address) {
        const [allocate, cached] = [!(address & 0x01000000), !(address & 0x02000000)];
        if (!cached || !(this.ctrl & 1)) {
            return false;
        }
        const line = (address & 0xffffff) >> 3;
        const set = 2 * (line % CACHE_SETS);
        if (this.tags[set] === line) {
            return true;
        }
        const found = this.tags[set + 1] === line;
        if (found || allocate) {
            this.tags[set + 1] = this.tags[set];        // the other one was used longer ago
            this.tags[set] = line;
        }
        return found;
    }

    readUint32(offset) {
        switch (offset) {
            case 0x00:
                return this.ctrl;
            case 0x04:
                return 0;
            case 0x08:
                return 2 | 1;           // nothing is streamed, the flush is done
            case 0x0c: case 0x10:
                return 0;
        }
        return super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset === 0x00) {
            this.ctrl = value & 0xb;
        } else if (offset === 0x04) {
            this.flush();
        } else if (offset !== 0x0c && offset !== 0x10) {
            throw new ChipError('XIP: streaming is not modelled');
        }
    }
}

const CTRLR0 = 0x00;
const CTRLR1 = 0x04;
const SSIENR = 0x08;
const SLAVES = 0x10;
const BAUDR = 0x14;
const TXFLR = 0x20;
const RXFLR = 0x24;
const SR = 0x28;
const DR0 = 0x60;
const SPI_CTRLR0 = 0xf4;
const EEPROM_READ = 3;

// The SSI: either the flash is mapped (enabled, in EEPROM-read mode, with its chip select free), or
// bytes go to the flash one by one. Its bytes arrive at once.
export class Ssi extends BasePeripheral {
    constructor(mcu, chip) {
        super(mcu, 'SSI');
        this.chip = chip;
        this.registers = new Uint32Array(0x100 / 4);
        this.registers[SLAVES / 4] = 1;
        this.rx = [];
    }

    get mapped() {
        return !!(this.registers[SSIENR / 4] & 1) && this.mode === EEPROM_READ
            && (this.registers[SPI_CTRLR0 / 4] & 0x3c) !== 0;
    }

    get mode() {
        return (this.registers[CTRLR0 / 4] >>> 8) & 3;
    }

    // Cycles of clk_sys that it takes to read `length` bytes from the mapped flash.
    readCycles(length) {
        const control = this.registers[SPI_CTRLR0 / 4];
        const type = control & 3;
        const width = [1, 2, 4, 1][(this.registers[CTRLR0 / 4] >>> 21) & 3];
        const instruction = [0, 4, 8, 16][(control >>> 8) & 3] / (type === 2 ? width : 1);
        const address = (((control >>> 2) & 15) * 4) / (type === 0 ? 1 : width);
        const bits = instruction + address + ((control >>> 11) & 31) + (8 * length) / width;
        return bits * this.registers[BAUDR / 4];
    }

    // The plain serial mode of the boot ROM, for commands, or with `map` for slow reading.
    commandMode({ map }) {
        const { registers } = this;
        this.rx = [];
        registers[SSIENR / 4] = 1;
        registers[BAUDR / 4] = 6;
        registers[CTRLR0 / 4] = map ? (31 << 16) | (EEPROM_READ << 8) : 7 << 16;
        registers[SPI_CTRLR0 / 4] = map ? (3 << 24) | (2 << 8) | (6 << 2) : 0;
        this.chip.flashWayChanged();
    }

    readUint32(offset) {
        switch (offset) {
            case TXFLR:
                return 0;
            case RXFLR:
                return this.rx.length;
            case SR:
                return 0x6 | (this.rx.length ? 0x8 : 0);
            case DR0: {
                const value = this.rx.shift() ?? 0;
                if (!this.rx.length && this.chip.ioQspi.chipSelect === undefined) {
                    this.chip.flash.deselect();
                }
                return value;
            }
        }
        return this.registers[offset / 4] ?? super.readUint32(offset);
    }

    writeUint32(offset, value) {
        if (offset === DR0) {
            this.send(value);
            return;
        }
        if (offset >= 0x100) {
            super.writeUint32(offset, value);
            return;
        }
        this.registers[offset / 4] = value;
        if (offset === SSIENR && !(value & 1)) {
            this.rx = [];
            if (this.chip.ioQspi.chipSelect === undefined) {
                this.chip.flash.deselect();
            }
        }
        if ([CTRLR0, CTRLR1, SSIENR, SLAVES, SPI_CTRLR0].includes(offset)) {
            this.chip.flashWayChanged();
        }
    }

    send(value) {
        const { registers, chip } = this;
        if (!(registers[SSIENR / 4] & 1) || !(registers[SLAVES / 4] & 1)) {
            return;
        }
        if (((registers[CTRLR0 / 4] >>> 21) & 3) !== 0) {
            // Quad frames: what boot2 sends once so that the flash keeps to its fast read command.
            if ((value & 0xff) === 0xa0) {
                chip.flash.continuous = true;
            }
            this.rx.push(0);
            return;
        }
        const level = chip.ioQspi.chipSelect;
        this.rx.push(level === 1 ? 0 : chip.flash.exchange(value & 0xff));
    }
}
