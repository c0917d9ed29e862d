// SPDX-License-Identifier: MIT
// An RP2040 on a board with a crystal and a flash, which is as unforgiving as one: power-on, boot
// ROM, resets, power cuts. Most peripherals are those of rp2040js; what decides about life and
// death is ours (parts.mjs, flash.mjs, cpu.mjs, rom.mjs).
// Everything is deterministic: the same inputs give the same cycles and operations.

import { RP2040 } from './rp2040js.mjs';
import { Clock } from './clock.mjs';
import { Cpu, RAM_BASE, RAM_SIZE } from './cpu.mjs';
import { PowerCut, random } from './flash.mjs';
import {
    ChipError, ChipReset, Clocks, IoQspi, Pll, Psm, Resets, Rosc, Ssi, Timer, Watchdog, XipCtrl,
    Xosc,
} from './parts.mjs';
import { Rom } from './rom.mjs';
import { Serial } from './serial.mjs';

const USB_RAM = 0x50100000;
const XIP_BITS = (1 << 6) | (1 << 9);           // IO and pads of the flash, which the ROM needs
const PSM_ALL = 0x1fffc;                        // all that a watchdog must reset: not oscillators
const PSM_XOSC = 1 << 1;
const QUIET = new Set(['USB']);                 // names of parts with harmless gaps in rp2040js

const hex = (n) => `0x${(n >>> 0).toString(16)}`;

class Mcu extends RP2040 {
    reset() {}                                  // its constructor need not fill 16 MB

    readUint32(address) {
        return this.core.read32(address | 0) >>> 0;
    }

    readUint16(address) {
        return this.core.read16(address | 0);
    }

    readUint8(address) {
        return this.core.read8(address | 0);
    }

    writeUint32(address, value) {
        this.core.write32(address | 0, value | 0);
    }

    writeUint16(address, value) {
        this.core.write16(address | 0, value);
    }

    writeUint8(address, value) {
        this.core.write8(address | 0, value);
    }
}

export class Chip {
    // options: seed; usb (is a host connected); strict (an access to a register that is not modelled
    // ends the run); bkpt (BKPT stops the run instead of faulting); romPatience in nanoseconds;
    // waits (count the time that reading flash takes).
    constructor(flash, options = {}) {
        this.flash = flash;
        this.options = { seed: 1, usb: true, romPatience: 300e6, ...options };
        this.rom = new Rom(this);
        this.state = 'off';                     // off, running, usb-boot, dead
        this.why = 'not switched on';
        this.boots = 0;
        this.powerUps = 0;
        this.past = { cycles: 0, slept: 0, nanos: 0, instructions: 0 };
        this.unknown = new Map();               // accesses that nothing models, with their count
        this.events = [];
        this.text = '';                         // all that came over USB
        this.uart = '';
        this.mark = 0;                          // how much of the text a caller has taken
        this.uartMark = 0;
        this.waited = 0;                        // cycles, for flash, with the option `waits`
    }

    // ---- power and resets

    powerOn() {
        this.powerOff();
        this.ram8 = new Uint8Array(RAM_SIZE);
        const next = random(this.options.seed * 7919 + this.powerUps++);
        const words32 = new Uint32Array(this.ram8.buffer);
        for (let i = 0; i < words32.length; i++) {
            words32[i] = next();
        }
        this.clock = new Clock();
        this.flash.clock = this.clock;
        this.flash.powerUp();
        this.build('power');
    }

    powerOff() {
        if (this.clock) {
            this.keepFigures();
        }
        this.clock = null;
        this.flash.clock = null;
        this.ram8 = null;
        this.cpu = null;
        this.mcu = null;
        this.serial = null;
        this.state = 'off';
        this.why = 'switched off';
    }

    keepFigures() {
        const { past, clock, cpu } = this;
        clock.settle();
        past.cycles += clock.cycles;
        past.slept += clock.slept;
        past.nanos += clock.base;
        past.instructions += cpu.instructions;
        clock.cycles = clock.slept = 0;
        cpu.instructions = 0;
    }

    figures() {
        const { past, clock, cpu, flash } = this;
        return {
            cycles: past.cycles + (clock?.totalCycles ?? 0),
            slept_cycles: Math.round(past.slept + (clock?.slept ?? 0)),
            nanoseconds: Math.round(past.nanos + (clock?.nanos ?? 0)),
            instructions: past.instructions + (cpu?.instructions ?? 0),
            flash_wait_cycles: this.waited,
            boots: this.boots,
            power_ups: this.powerUps,
            operations: flash.operations,
            erases: flash.erases,
            programs: flash.programs,
        };
    }

    // The RUN pin, or a watchdog that was set up to reset the chip.
    reset(cause) {
        if (this.state === 'off') {
            throw new Error('the chip is not switched on');
        }
        this.events.push(`reset: ${cause}`);
        this.build(cause);
    }

    build(cause) {
        const old = this.watchdog;
        const watchdogReset = cause === 'timer' || cause === 'forced';
        const crystal = watchdogReset && !(this.psm.wdsel & PSM_XOSC) ? this.xosc : null;
        const { clock } = this;
        if (this.cpu) {
            clock.settle();
            this.past.instructions += this.cpu.instructions;
        }
        clock.alarms.length = 0;

        const mcu = new Mcu(clock);
        const { ram8, rom, flash } = this;
        this.mcu = mcu;
        this.cpu = new Cpu(this, { ram: ram8, rom: rom.bytes, flash: flash.cells });
        mcu.core = this.cpu;
        mcu.sram = ram8;
        mcu.flash = flash.cells;
        clock.cpu = this.cpu;
        mcu.pwm.reset();
        mcu.logger = this.logger();
        mcu.clkSys = 0;

        this.xosc = new Xosc(mcu, this);
        if (crystal) {
            Object.assign(this.xosc, {
                ctrl: crystal.ctrl, startup: crystal.startup, stableAt: crystal.stableAt });
        }
        this.pllSys = mcu.pllSys = new Pll(mcu, 'PLL_SYS', this);
        this.pllUsb = mcu.pllUsb = new Pll(mcu, 'PLL_USB', this);
        this.clocks = mcu.clocks = new Clocks(mcu, this);
        this.psm = new Psm(mcu, this);
        this.coreOneAnswers = false;
        this.mappedSize = 0;                    // bytes of flash that can be read now
        this.resets = new Resets(mcu);
        this.watchdog = new Watchdog(mcu, this);
        if (watchdogReset) {
            this.watchdog.scratch.set(old.scratch);
            this.watchdog.reason = old.reason;
        }
        this.timer = new Timer(mcu, this);
        this.ioQspi = new IoQspi(mcu, this);
        this.ssi = new Ssi(mcu, this);
        this.xip = new XipCtrl(mcu, this);
        this.chipReset = new ChipReset(mcu, watchdogReset ? 'power' : cause);
        Object.assign(mcu.peripherals, {
            0x14000: this.xip,
            0x18000: this.ssi,
            0x40008: this.clocks,
            0x4000c: this.resets,
            0x40010: this.psm,
            0x40018: this.ioQspi,
            0x40024: this.xosc,
            0x40028: this.pllSys,
            0x4002c: this.pllUsb,
            0x40054: this.timer,
            0x40058: this.watchdog,
            0x40060: new Rosc(mcu, random(this.options.seed + this.boots)),
            0x40064: this.chipReset,
        });
        mcu.uart.forEach((uart) => {
            uart.onByte = (byte) => {
                this.uart += String.fromCharCode(byte);
            };
        });
        this.serial = this.options.usb
            ? new Serial(mcu.usbCtrl, (bytes) => {
                for (const byte of bytes) {
                    this.text += String.fromCharCode(byte);
                }
            })
            : null;
        this.state = 'running';
        this.why = '';
        this.resetting = null;
        this.scr = 0;
        this.boots++;
        this.clocksChanged();
        this.resets.held &= ~XIP_BITS;
        this.rom.boot();
    }

    logger() {
        const note = (part, message) => {
            if (QUIET.has(part)) {
                return;
            }
            const what = `${part}: ${message}`;
            if (this.options.strict) {
                throw new ChipError(what);
            }
            this.unknown.set(what, (this.unknown.get(what) ?? 0) + 1);
        };
        return { debug() {}, info() {}, warn: note, error: note };
    }

    // Starts the processor at `address` with its stack at `stack`.
    enter(address, stack) {
        this.cpu.r[13] = stack;
        this.cpu.pc = address & ~1;
        this.cpu.closeWindow();
    }

    // Nothing runs from here on.
    stop(state, why) {
        this.state = state;
        this.why = why;
        this.events.push(`${state}: ${why}`);
        this.cpu.attend();
    }

    watchdogFires(reason) {
        const { wdsel } = this.psm;
        if (wdsel === 0 && this.resets.wdsel === 0) {
            this.events.push('watchdog fired, but PSM_WDSEL is 0: nothing was reset');
            return;
        }
        if ((wdsel & PSM_ALL) !== PSM_ALL) {
            throw new ChipError(`watchdog: PSM_WDSEL ${hex(wdsel)} resets half of the chip`);
        }
        this.resetting = reason;
        this.cpu.attend();
    }

    // ---- clocks

    clocksChanged() {
        const { clock, clocks, mcu } = this;
        const hertz = clocks.sysFreq;
        if (!hertz) {
            throw this.mistake(`clk_sys is taken from ${clocks.sysSource}, which does not run`);
        }
        if (hertz !== mcu.clkSys) {
            clock.setFrequency(hertz);
            mcu.updateClkSys();
        }
        mcu.updateClkPeri();
        this.watchdog.retime();
        this.timer.retime(this.watchdog.tickHertz);
    }

    // ---- flash

    flashWayChanged() {
        const mapped = this.ssi.mapped && this.ioQspi.chipSelect === undefined;
        if (this.ioQspi.chipSelect !== 0 && this.ioQspi.chipSelect !== undefined) {
            this.flash.deselect();
        }
        if (mapped && this.flash.busy) {
            throw this.mistake('the flash is mapped while it is busy');
        }
        this.mappedSize = mapped ? this.flash.size : 0;
        this.cpu[this.options.waits ? 'slowFlashEnd' : 'flashEnd'] = this.mappedSize;
        this.cpu.closeWindow();
    }

    connectFlash() {
        this.ioQspi.forceChipSelect(undefined);
        this.ssi.writeUint32(0x08, 0);
        this.cpu.used += 100;
    }

    exitXip() {
        this.ssi.commandMode({ map: false });
        this.flash.continuous = false;
        this.ioQspi.forceChipSelect(1);
        this.cpu.used += 2000;
    }

    flushCache() {
        this.xip.flush();
        this.ioQspi.forceChipSelect(undefined);
        this.cpu.used += 100;
    }

    slowXip() {
        this.ssi.commandMode({ map: true });
        this.cpu.used += 100;
    }

    beginFlashCommand(name) {
        if (this.mappedSize) {
            throw new ChipError(`${name} while the flash is mapped: flash_exit_xip comes first`);
        }
        if (this.flash.continuous) {
            throw new ChipError(`${name} without flash_exit_xip`);
        }
        if (!this.ssi.registers[0x08 / 4]) {
            throw new ChipError(`${name} with the SSI off: flash_exit_xip comes first`);
        }
    }

    // Does a flash operation and waits for its end, as the ROM does. A reset of the chip ends the
    // waiting, not the operation.
    operateFlash(work) {
        work();
        this.ioQspi.forceChipSelect(1);
        this.cpu.used += 260 * 8 * 6;
        this.clock.passTo(this.flash.busyUntil, () => this.resetting);
    }

    resetUsbBoot() {
        if (this.xosc.stable) {
            this.stop('usb-boot', 'reset_usb_boot');
        } else {
            this.stop('dead', 'reset_usb_boot waits for a crystal oscillator that is not running');
        }
    }

    // ---- memory beyond the fast part

    // `length` bytes of RAM to write to, or null.
    ram(address, length) {
        const offset = address - RAM_BASE;
        return offset >= 0 && offset + length <= RAM_SIZE
            ? this.ram8.subarray(offset, offset + length)
            : null;
    }

    // `length` bytes of RAM or mapped flash to read from, or null.
    memory(address, length) {
        if (address >>> 26 === 4) {
            const offset = address & 0xffffff;
            if (offset + length > this.mappedSize) {
                return null;
            }
            if (this.options.waits) {
                for (let at = address & ~7; at < address + length; at += 8) {
                    this.waitForFlash(at, 8);
                }
            }
            return this.flash.cells.subarray(offset, offset + length);
        }
        return this.ram(address, length);
    }

    mistake(what) {
        return new ChipError(`${what} (pc ${hex(this.cpu.pc)})`);
    }

    load(address, size) {
        if (address >>> 26 === 4) {
            return this.flashRead(address, size);
        }
        const word = this.loadWord((address & ~3) >>> 0);
        return word === undefined || size === 4 ? word : word >>> ((address & 3) << 3);
    }

    flashRead(address, size) {
        const { flash } = this;
        if (!this.mappedSize) {
            throw this.mistake(`flash is read at ${hex(address)} while it is away: `
                + (this.ioQspi.chipSelect === undefined
                    ? 'boot2 or flash_enter_cmd_xip comes first'
                    : 'flash_flush_cache comes first'));
        }
        const offset = address & (flash.size - 1);
        if (!flash.loose && offset !== (address & 0xffffff)) {
            throw this.mistake(`flash is read at ${hex(address)}, beyond its end`);
        }
        if (this.options.waits) {
            this.waitForFlash(address, 4);
        }
        return [0, 8, 16, 24].slice(0, size)
            .reduce((value, shift, i) => value | (flash.cells[offset + i] << shift), 0);
    }

    // The time of a read that is not in the cache: a whole line, or `length` bytes past the cache.
    waitForFlash(address, length) {
        if (!this.xip.hit(address)) {
            const past = address & 0x02000000 || !(this.xip.ctrl & 1);
            const cycles = this.ssi.readCycles(past ? length : 8);
            this.cpu.used += cycles;
            this.waited += cycles;
        }
    }

    loadWord(address) {
        const { mcu, cpu } = this;
        if (address >>> 28 === 0xd) {
            cpu.used--;
            return this.loadSio(address & 0xfff);
        }
        if (address >>> 12 === 0xe000e) {
            return this.loadPpb(address & 0xfff);
        }
        cpu.used++;
        if (address >>> 12 === USB_RAM >>> 12) {
            return mcu.usbDPRAMView.getUint32(address & 0xfff, true);
        }
        return mcu.findPeripheral(address)?.readUint32(address & 0xfff);
    }

    store(address, value, size) {
        const { mcu, cpu } = this;
        if (address >>> 26 === 4) {
            throw this.mistake(`write to the flash at ${hex(address)}`);
        }
        if (address >>> 28 === 0xd) {
            cpu.used--;
            this.storeSio(address & 0xfff, value);
            return true;
        }
        if (address >>> 12 === 0xe000e) {
            this.storePpb(address & 0xfff, value);
            return true;
        }
        cpu.used += 2;
        if (Resets.of(address) & this.resets.held) {
            mcu.logger.warn('RESETS', `write to ${hex(address)} while its block is held in reset`);
            return true;
        }
        if (address >>> 12 === USB_RAM >>> 12) {
            this.storeUsb(address & 0xfff, value, size);
            return true;
        }
        const part = mcu.findPeripheral(address);
        if (!part) {
            return false;
        }
        if (size < 4) {                         // the bus repeats what is narrow
            value = size === 1 ? (value & 0xff) * 0x01010101 : (value & 0xffff) * 0x00010001;
        }
        part.writeUint32Atomic(address & 0xffc, value >>> 0, (address >>> 12) & 3);
        return true;
    }

    storeUsb(offset, value, size) {
        const { mcu } = this;
        const view = mcu.usbDPRAMView;
        if (size === 1) {
            view.setUint8(offset, value & 0xff);
        } else if (size === 2) {
            view.setUint16(offset, value & 0xffff, true);
        } else {
            view.setUint32(offset, value, true);
        }
        if (offset < 0x100) {
            mcu.usbCtrl.DPRAMUpdated(offset & ~3, view.getUint32(offset & ~3, true));
        }
    }

    // Core 1 waits in the ROM: its FIFO is empty and takes words, but nobody starts it here.
    loadSio(offset) {
        if (offset === 0x50) {                  // the FIFO from core 1
            return this.coreOneAnswers ? 3 : 2;
        }
        if (offset === 0x58) {
            this.coreOneAnswers = false;
            return 0;
        }
        return this.mcu.sio.readUint32(offset);
    }

    storeSio(offset, value) {
        if (offset === 0x54 && value > 1) {
            throw this.mistake('core 1 is started, which is not modelled');
        }
        if (offset < 0x50 || offset > 0x5c) {
            this.mcu.sio.writeUint32(offset, value);
        }
    }

    loadPpb(offset) {
        return offset === 0xd10 ? this.scr : this.mcu.ppb.readUint32(offset);
    }

    storePpb(offset, value) {
        if (offset === 0xd10) {
            this.scr = value;
            this.cpu.sevOnPend = !!(value & 0x10);
        } else if (offset === 0xd0c && value & 4) {
            throw this.mistake('SYSRESETREQ is not modelled: a watchdog resets the chip');
        } else {
            this.mcu.ppb.writeUint32(offset, value);
        }
    }

    breakpoint(number, address) {
        if (address >>> 0 < 0x4000) {
            this.rom.call(number);
            return true;
        }
        if (this.options.bkpt) {
            this.breakpointHit = number;
            this.cpu.attend();
            return true;
        }
        return false;
    }

    // ---- running

    // Runs until one of these, and says which: 'text' one of `until` came over USB since the last
    // take(); 'uart' the same on a UART; 'reset' (if asked for); 'bkpt'; 'cut' the power failed;
    // 'usb-boot', 'dead' for good; 'idle' nothing will happen without input; 'time' is up.
    run({ until = [], uart = [], nanos = Infinity, cycles = Infinity, onReset = false } = {}) {
        if (this.state === 'off') {
            throw new Error('the chip is not switched on');
        }
        const found = (text, wanted) => wanted.findIndex((w) => text.includes(w));
        let seen = -1;
        const check = () => {
            const size = this.text.length + this.uart.length;
            if (size !== seen) {
                seen = size;
                const news = until.length ? this.text.slice(this.mark) : '';
                if (found(news, until) >= 0) {
                    return { why: 'text', which: found(news, until) };
                }
                const which = found(this.uart.slice(this.uartMark), uart);
                if (which >= 0) {
                    this.uartMark = this.uart.length;
                    return { why: 'uart', which };
                }
            }
            return null;
        };
        const { clock } = this;
        const end = clock.nanos + nanos;
        const lastCycle = clock.totalCycles + clock.slept + cycles;
        try {
            for (;;) {
                const { cpu } = this;
                if (this.state !== 'running') {
                    return { why: this.state, detail: this.why };
                }
                if (this.resetting) {
                    const cause = this.resetting;
                    this.reset(cause);
                    if (onReset) {
                        return { why: 'reset', detail: cause };
                    }
                    continue;
                }
                if (this.breakpointHit !== undefined) {
                    const number = this.breakpointHit;
                    this.breakpointHit = undefined;
                    return { why: 'bkpt', which: number };
                }
                const hit = check();
                if (hit) {
                    return hit;
                }
                const left = lastCycle - clock.totalCycles - clock.slept;
                clock.limit = Math.min(end, clock.nanos + left * clock.nanosPerCycle);
                if (clock.nanos >= clock.limit) {
                    return { why: 'time' };
                }
                if (!cpu.locked) {
                    cpu.takeInterrupt();
                }
                if (cpu.waiting || cpu.locked) {
                    const next = clock.nextAlarm;
                    if (next === Infinity && cpu.locked) {
                        this.stop('dead', `lock-up: ${cpu.lastFault}`);
                        continue;
                    }
                    if (next === Infinity && clock.limit === Infinity) {
                        return { why: 'idle' };
                    }
                    clock.passTo(Math.min(next, clock.limit), () => this.resetting);
                    continue;
                }
                cpu.attention = false;
                clock.settle();
                clock.plan();
                cpu.slice = Math.max(1, cpu.slice);     // an alarm may be a fraction away
                cpu.run();
                clock.fire();
            }
        } catch (error) {
            if (error instanceof PowerCut) {
                this.events.push('power cut');
                this.powerOff();
                return { why: 'cut' };
            }
            if (error instanceof ChipError && !/\(pc /.test(error.message)) {
                error.message += ` (pc ${hex(this.cpu.pc)})`;
            }
            throw error;
        }
    }

    // The text since the last call, up to and with `to` if that is in it.
    take(to) {
        const end = to === undefined ? this.text.length : this.text.indexOf(to, this.mark) + to.length;
        const news = this.text.slice(this.mark, end);
        this.mark = end;
        return news;
    }
}
