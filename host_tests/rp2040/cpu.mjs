// SPDX-License-Identifier: MIT
// A Cortex-M0+ that is quick enough to live through hundreds of power cuts in a test, and strict:
// what faults on the chip faults here, and a fault within a fault is a lock-up. It takes the
// place of the core of rp2040js, whose peripherals know it by the fields marked (js).
// Cycles: ARMv6-M with the RP2040's single-cycle IO and multiplier, and no wait states.

export const RAM_BASE = 0x20000000;
export const RAM_SIZE = 264 * 1024;
export const ROM_SIZE = 16 * 1024;

const HARD_FAULT = 3;
const SVCALL = 11;
const PENDSV = 14;
const SYSTICK = 15;
const LOWEST = 4;                       // one below the lowest of the four priorities

// Thrown by memory on an access that the bus or the processor refuses, caught in run().
const FAULT = { fault: true };

export class Cpu {
    // `bus` offers the slow half of memory: peripherals, by load(address, size) and
    // store(address, value, size), undefined for an address where nothing is; `breakpoint(number,
    // address)` is asked at every BKPT and true when it was not a mistake.
    constructor(bus, { ram, rom, flash }) {
        this.bus = bus;
        this.r = new Int32Array(16);
        this.pc = 0;
        this.nz = 1;                    // N and Z: those of this number
        this.c = 0;
        this.v = 0;
        this.used = 0;
        this.slice = 0;
        this.attention = false;         // stop before the next instruction and look around
        this.instructions = 0;

        this.ram8 = ram;
        this.ram16 = new Uint16Array(ram.buffer, ram.byteOffset, ram.length >> 1);
        this.ram32 = new Int32Array(ram.buffer, ram.byteOffset, ram.length >> 2);
        this.rom8 = rom;
        this.rom16 = new Uint16Array(rom.buffer);
        this.rom32 = new Int32Array(rom.buffer);
        this.flash8 = flash;
        this.flash16 = new Uint16Array(flash.buffer, flash.byteOffset, flash.length >> 1);
        this.flash32 = new Int32Array(flash.buffer, flash.byteOffset, flash.length >> 2);
        this.flashEnd = 0;              // bytes of flash that are read at once: none or all
        this.slowFlashEnd = 0;          // the same for flash whose cache and waits are modelled

        this.window = this.rom16;       // where the instructions come from
        this.windowBase = 0;
        this.windowSize = 0;

        this.waiting = false;
        this.locked = false;
        this.event = false;
        this.sevOnPend = false;
        this.PM = false;                // PRIMASK
        this.psp = false;               // CONTROL.SPSEL
        this.banked = 0;                // the stack pointer that is not in r13
        this.handler = false;
        this.IPSR = 0;
        this.VTOR = 0;                  // (js), and all that follows
        this.SHPR2 = 0;
        this.SHPR3 = 0;
        this.pendingInterrupts = 0;
        this.enabledInterrupts = 0;
        this.interruptPriorities = [-1, 0, 0, 0];
        this.pendingNMI = false;
        this.pendingPendSV = false;
        this.pendingSVCall = false;
        this.pendingSystick = false;
    }

    // Ends run() after this instruction.
    attend() {
        this.attention = true;
        this.slice = 0;
    }

    set interruptsUpdated(_) {          // (js)
        this.attend();
    }

    setInterrupt(irq, value) {          // (js)
        const bit = 1 << irq;
        if (value && !(this.pendingInterrupts & bit)) {
            this.pendingInterrupts |= bit;
            if (this.sevOnPend) {
                this.event = true;
            }
            this.attend();
        } else if (!value) {
            this.pendingInterrupts &= ~bit;
        }
    }

    get vectPending() {                 // (js)
        return this.next(LOWEST);
    }

    // (js) Its divider adds the time of a division; programs wait for that by themselves.
    get cycles() {
        return 0;
    }

    set cycles(_) {}

    // ---- memory

    read32(a) {
        if ((a & 0xff000003) === 0x20000000) {
            const o = a & 0xffffff;
            if (o < RAM_SIZE) {
                return this.ram32[o >> 2];
            }
        } else if ((a & 0xfc000003) === 0x10000000) {
            const o = a & 0xffffff;
            if (o < this.flashEnd) {
                return this.flash32[o >> 2];
            }
        }
        return this.slowRead(a, 4) | 0;
    }

    read16(a) {
        if ((a & 0xff000001) === 0x20000000) {
            const o = a & 0xffffff;
            if (o < RAM_SIZE) {
                return this.ram16[o >> 1];
            }
        } else if ((a & 0xfc000001) === 0x10000000) {
            const o = a & 0xffffff;
            if (o < this.flashEnd) {
                return this.flash16[o >> 1];
            }
        }
        return this.slowRead(a, 2) & 0xffff;
    }

    read8(a) {
        if ((a & 0xff000000) === 0x20000000) {
            const o = a & 0xffffff;
            if (o < RAM_SIZE) {
                return this.ram8[o];
            }
        } else if ((a & 0xfc000000) === 0x10000000) {
            const o = a & 0xffffff;
            if (o < this.flashEnd) {
                return this.flash8[o];
            }
        }
        return this.slowRead(a, 1) & 0xff;
    }

    write32(a, value) {
        if ((a & 0xff000003) === 0x20000000) {
            const o = a & 0xffffff;
            if (o < RAM_SIZE) {
                this.ram32[o >> 2] = value;
                return;
            }
        }
        this.slowWrite(a, value, 4);
    }

    write16(a, value) {
        if ((a & 0xff000001) === 0x20000000) {
            const o = a & 0xffffff;
            if (o < RAM_SIZE) {
                this.ram16[o >> 1] = value;
                return;
            }
        }
        this.slowWrite(a, value, 2);
    }

    write8(a, value) {
        if ((a & 0xff000000) === 0x20000000) {
            const o = a & 0xffffff;
            if (o < RAM_SIZE) {
                this.ram8[o] = value;
                return;
            }
        }
        this.slowWrite(a, value, 1);
    }

    slowRead(a, size) {
        a >>>= 0;
        if (a & (size - 1)) {
            this.fault(`unaligned read of ${size} bytes`, a);
        }
        if (a < ROM_SIZE) {
            const word = this.rom32[a >> 2];
            return word >>> ((a & 3) << 3);
        }
        const value = this.bus.load(a, size);
        if (value === undefined) {
            this.fault(`read of ${size} bytes where nothing is`, a);
        }
        return value;
    }

    slowWrite(a, value, size) {
        a >>>= 0;
        if (a & (size - 1)) {
            this.fault(`unaligned write of ${size} bytes`, a);
        }
        if (a < ROM_SIZE) {
            return;                     // the chip ignores it, and TinyUSB counts on that
        }
        if (this.bus.store(a, value >>> 0, size) === false) {
            this.fault(`write of ${size} bytes where nothing is`, a);
        }
    }

    fault(why, address) {
        this.why = `${why} at 0x${(address >>> 0).toString(16)}`;
        throw FAULT;
    }

    // Finds the memory that holds the instruction at `pc`.
    openWindow(pc) {
        const o = pc & 0xffffff;
        if (pc >>> 24 === 0x20 && o < RAM_SIZE) {
            this.window = this.ram16;
            this.windowBase = RAM_BASE;
            this.windowSize = RAM_SIZE;
        } else if (pc >>> 26 === 4 && o < this.flashEnd) {
            this.window = this.flash16;
            this.windowBase = pc & 0xff000000;
            this.windowSize = this.flashEnd;
        } else if (pc >>> 26 === 4 && o < this.slowFlashEnd) {
            this.bus.waitForFlash(pc, 8);
            this.window = this.flash16.subarray((o & ~7) >> 1, (o >> 1) + 4);
            this.windowBase = pc & ~7;
            this.windowSize = 8;
        } else if (pc >>> 0 < ROM_SIZE) {
            this.window = this.rom16;
            this.windowBase = 0;
            this.windowSize = ROM_SIZE;
        } else {
            this.slowRead(pc, 2);       // says what is wrong with it
            this.fault('execution of what is no memory', pc);
        }
    }

    closeWindow() {
        this.windowSize = 0;
    }

    // ---- exceptions

    // The pending exception of the highest priority above `current`, or 0.
    next(current) {
        const set = this.pendingInterrupts & this.enabledInterrupts;
        if (this.pendingNMI && current > -2) {
            return 2;
        }
        for (let priority = 0; priority < current; priority++) {
            if (this.pendingSVCall && priority === this.SHPR2 >>> 30) {
                return SVCALL;
            }
            if (this.pendingPendSV && priority === ((this.SHPR3 >>> 22) & 3)) {
                return PENDSV;
            }
            if (this.pendingSystick && priority === this.SHPR3 >>> 30) {
                return SYSTICK;
            }
            const level = set & this.interruptPriorities[priority];
            if (level) {
                return 16 + (31 - Math.clz32(level & -level));
            }
        }
        return 0;
    }

    priority(exception) {
        switch (exception) {
            case 2:
                return -2;
            case HARD_FAULT:
                return -1;
            case SVCALL:
                return this.SHPR2 >>> 30;
            case PENDSV:
                return (this.SHPR3 >>> 22) & 3;
            case SYSTICK:
                return this.SHPR3 >>> 30;
        }
        if (exception < 16) {
            return LOWEST;
        }
        const bit = 1 << (exception - 16);
        return this.interruptPriorities.findIndex((mask) => mask & bit);
    }

    // Takes the exception that is due, if any; ends waiting.
    takeInterrupt() {
        const current = this.priority(this.IPSR);
        if (this.waiting && (this.next(current) || this.event)) {
            // PRIMASK keeps an interrupt from being taken, not from waking the processor.
            this.waiting = false;
            this.event = false;
        }
        const exception = this.next(this.PM ? Math.min(current, 0) : current);
        if (!exception) {
            return;
        }
        if (exception === SVCALL) {
            this.pendingSVCall = false;
        } else if (exception === PENDSV) {
            this.pendingPendSV = false;
        } else if (exception === SYSTICK) {
            this.pendingSystick = false;
        } else if (exception === 2) {
            this.pendingNMI = false;
        } else if (exception >= 16 + 26) {
            this.pendingInterrupts &= ~(1 << (exception - 16));     // set by software alone
        }
        this.guarded(() => this.enter(exception));
    }

    // Runs what may fault outside of run().
    guarded(work) {
        try {
            work();
        } catch (error) {
            if (error !== FAULT) {
                throw error;
            }
            this.hardFault();
        }
    }

    enter(exception) {
        const { r } = this;
        const align = r[13] & 4 ? 1 : 0;
        const sp = (r[13] - 0x20) & ~7;
        for (let i = 0; i < 4; i++) {
            this.write32(sp + 4 * i, r[i]);
        }
        this.write32(sp + 16, r[12]);
        this.write32(sp + 20, r[14]);
        this.write32(sp + 24, this.pc);
        this.write32(sp + 28, this.xPSR | (align << 9));
        r[13] = sp;
        r[14] = this.handler ? 0xfffffff1 : this.psp ? 0xfffffffd : 0xfffffff9;
        this.selectStack(false);
        this.handler = true;
        this.IPSR = exception;
        this.event = true;
        this.waiting = false;
        this.used += 15;
        const vector = this.read32(this.VTOR + 4 * exception);
        if (!(vector & 1)) {
            this.fault('exception vector without the Thumb bit', vector);
        }
        this.pc = vector & ~1;
    }

    leave(code) {
        const { r } = this;
        const mode = code & 0xf;
        if (mode !== 1 && mode !== 9 && mode !== 0xd) {
            this.fault('exception return', code);
        }
        this.handler = mode === 1;
        this.selectStack(mode === 0xd);
        const sp = r[13];
        for (let i = 0; i < 4; i++) {
            r[i] = this.read32(sp + 4 * i);
        }
        r[12] = this.read32(sp + 16);
        r[14] = this.read32(sp + 20);
        this.pc = this.read32(sp + 24) & ~1;
        const psr = this.read32(sp + 28);
        r[13] = (sp + 0x20) | (psr & (1 << 9) ? 4 : 0);
        this.APSR = psr;
        this.IPSR = psr & 0x3f;
        this.event = true;
        this.used += 12;
        this.attend();                 // another exception may be waiting
    }

    hardFault() {
        if (this.IPSR === HARD_FAULT || this.IPSR === 2) {
            this.locked = true;
        } else {
            this.faults = (this.faults ?? 0) + 1;
            this.lastFault = `${this.why}, pc 0x${(this.pc >>> 0).toString(16)}`;
            try {
                this.enter(HARD_FAULT);
            } catch (error) {
                if (error !== FAULT) {
                    throw error;
                }
                this.locked = true;
            }
        }
        if (this.locked) {
            this.lastFault ??= `${this.why}, pc 0x${(this.pc >>> 0).toString(16)}`;
        }
        this.attend();
    }

    selectStack(psp) {
        if (this.psp !== psp) {
            const other = this.banked;
            this.banked = this.r[13];
            this.r[13] = other;
            this.psp = psp;
        }
    }

    get APSR() {
        return (this.nz & 0x80000000) | (this.nz === 0 ? 1 << 30 : 0) | (this.c << 29)
            | (this.v << 28);
    }

    set APSR(value) {
        this.nz = value & (1 << 30) ? 0 : value & 0x80000000 ? -1 : 1;
        this.c = (value >>> 29) & 1;
        this.v = (value >>> 28) & 1;
    }

    get xPSR() {
        return this.APSR | this.IPSR | (1 << 24);
    }

    readSpecial(number) {
        switch (number) {
            case 0:
                return this.APSR;
            case 1: case 3:
                return this.APSR | this.IPSR;
            case 5:
                return this.IPSR;
            case 8:
                return this.psp ? this.banked : this.r[13];
            case 9:
                return this.psp ? this.r[13] : this.banked;
            case 16:
                return this.PM ? 1 : 0;
            case 20:
                return this.psp ? 2 : 0;
        }
        return 0;
    }

    writeSpecial(number, value) {
        switch (number) {
            case 0: case 1: case 2: case 3:
                this.APSR = value;
                break;
            case 8: case 9:
                if (this.psp === (number === 9)) {
                    this.r[13] = value & ~3;
                } else {
                    this.banked = value & ~3;
                }
                break;
            case 16:
                this.PM = !!(value & 1);
                this.attend();
                break;
            case 20:
                if (!this.handler) {
                    this.selectStack(!!(value & 2));
                }
                break;
        }
    }

    // ---- instructions

    // Runs until `slice` cycles are used or something wants to be looked at.
    run() {
        const { r } = this;
        let { pc, used, nz, c, v } = this;
        let count = 0;
        try {
            while (used < this.slice) {
                let o = pc - this.windowBase;
                if (o >>> 0 >= this.windowSize) {
                    this.pc = pc;
                    this.used = used;
                    this.openWindow(pc);
                    used = this.used;
                    o = pc - this.windowBase;
                }
                const op = this.window[o >> 1];
                pc = (pc + 2) | 0;
                count++;
                used++;
                switch (op >>> 8) {
                    case 0x00: case 0x01: case 0x02: case 0x03:
                    case 0x04: case 0x05: case 0x06: case 0x07: {       // LSLS, MOVS
                        const n = (op >> 6) & 31;
                        let x = r[(op >> 3) & 7];
                        if (n) {
                            c = (x >>> (32 - n)) & 1;
                            x <<= n;
                        }
                        r[op & 7] = nz = x;
                        break;
                    }
                    case 0x08: case 0x09: case 0x0a: case 0x0b:
                    case 0x0c: case 0x0d: case 0x0e: case 0x0f: {       // LSRS
                        const n = (op >> 6) & 31;
                        const x = r[(op >> 3) & 7];
                        if (n) {
                            c = (x >>> (n - 1)) & 1;
                            r[op & 7] = nz = (x >>> n) | 0;
                        } else {
                            c = x >>> 31;
                            r[op & 7] = nz = 0;
                        }
                        break;
                    }
                    case 0x10: case 0x11: case 0x12: case 0x13:
                    case 0x14: case 0x15: case 0x16: case 0x17: {       // ASRS
                        const n = ((op >> 6) & 31) || 32;
                        const x = r[(op >> 3) & 7];
                        c = (x >> (n - 1 > 31 ? 31 : n - 1)) & 1;
                        r[op & 7] = nz = x >> (n > 31 ? 31 : n);
                        break;
                    }
                    case 0x18: case 0x19: {                             // ADDS
                        const a = r[(op >> 3) & 7];
                        const b = r[(op >> 6) & 7];
                        nz = (a + b) | 0;
                        c = nz >>> 0 < a >>> 0 ? 1 : 0;
                        v = ((a ^ nz) & (b ^ nz)) >>> 31;
                        r[op & 7] = nz;
                        break;
                    }
                    case 0x1a: case 0x1b: {                             // SUBS
                        const a = r[(op >> 3) & 7];
                        const b = r[(op >> 6) & 7];
                        nz = (a - b) | 0;
                        c = a >>> 0 >= b >>> 0 ? 1 : 0;
                        v = ((a ^ b) & (a ^ nz)) >>> 31;
                        r[op & 7] = nz;
                        break;
                    }
                    case 0x1c: case 0x1d: {                             // ADDS #imm3
                        const a = r[(op >> 3) & 7];
                        nz = (a + ((op >> 6) & 7)) | 0;
                        c = nz >>> 0 < a >>> 0 ? 1 : 0;
                        v = (~a & nz) >>> 31;
                        r[op & 7] = nz;
                        break;
                    }
                    case 0x1e: case 0x1f: {                             // SUBS #imm3
                        const a = r[(op >> 3) & 7];
                        const b = (op >> 6) & 7;
                        nz = (a - b) | 0;
                        c = a >>> 0 >= b ? 1 : 0;
                        v = (a & ~nz) >>> 31;
                        r[op & 7] = nz;
                        break;
                    }
                    case 0x20: case 0x21: case 0x22: case 0x23:
                    case 0x24: case 0x25: case 0x26: case 0x27:         // MOVS #imm8
                        r[(op >> 8) & 7] = nz = op & 0xff;
                        break;
                    case 0x28: case 0x29: case 0x2a: case 0x2b:
                    case 0x2c: case 0x2d: case 0x2e: case 0x2f: {       // CMP #imm8
                        const a = r[(op >> 8) & 7];
                        const b = op & 0xff;
                        nz = (a - b) | 0;
                        c = a >>> 0 >= b ? 1 : 0;
                        v = (a & ~nz) >>> 31;
                        break;
                    }
                    case 0x30: case 0x31: case 0x32: case 0x33:
                    case 0x34: case 0x35: case 0x36: case 0x37: {       // ADDS #imm8
                        const a = r[(op >> 8) & 7];
                        nz = (a + (op & 0xff)) | 0;
                        c = nz >>> 0 < a >>> 0 ? 1 : 0;
                        v = (~a & nz) >>> 31;
                        r[(op >> 8) & 7] = nz;
                        break;
                    }
                    case 0x38: case 0x39: case 0x3a: case 0x3b:
                    case 0x3c: case 0x3d: case 0x3e: case 0x3f: {       // SUBS #imm8
                        const a = r[(op >> 8) & 7];
                        const b = op & 0xff;
                        nz = (a - b) | 0;
                        c = a >>> 0 >= b ? 1 : 0;
                        v = (a & ~nz) >>> 31;
                        r[(op >> 8) & 7] = nz;
                        break;
                    }
                    case 0x40: case 0x41: case 0x42: case 0x43: {       // data processing
                        const d = op & 7;
                        const m = r[(op >> 3) & 7];
                        const a = r[d];
                        switch ((op >> 6) & 15) {
                            case 0:                                     // ANDS
                                r[d] = nz = a & m;
                                break;
                            case 1:                                     // EORS
                                r[d] = nz = a ^ m;
                                break;
                            case 2: {                                   // LSLS
                                const n = m & 0xff;
                                nz = n < 32 ? a << n : 0;
                                if (n) {
                                    c = n <= 32 ? (a >>> (32 - n)) & 1 : 0;
                                }
                                r[d] = nz;
                                break;
                            }
                            case 3: {                                   // LSRS
                                const n = m & 0xff;
                                nz = n < 32 ? (a >>> n) | 0 : 0;
                                if (n) {
                                    c = n <= 32 ? (a >>> (n - 1)) & 1 : 0;
                                }
                                r[d] = nz;
                                break;
                            }
                            case 4: {                                   // ASRS
                                const n = m & 0xff;
                                if (n) {
                                    c = (a >> (n > 32 ? 31 : n - 1)) & 1;
                                }
                                r[d] = nz = a >> (n > 31 ? 31 : n);
                                break;
                            }
                            case 5: {                                   // ADCS
                                nz = (a + m + c) | 0;
                                const carry = c ? nz >>> 0 <= a >>> 0 : nz >>> 0 < a >>> 0;
                                v = ((a ^ nz) & (m ^ nz)) >>> 31;
                                c = carry ? 1 : 0;
                                r[d] = nz;
                                break;
                            }
                            case 6: {                                   // SBCS
                                const b = ~m;
                                nz = (a + b + c) | 0;
                                const carry = c ? nz >>> 0 <= a >>> 0 : nz >>> 0 < a >>> 0;
                                v = ((a ^ nz) & (b ^ nz)) >>> 31;
                                c = carry ? 1 : 0;
                                r[d] = nz;
                                break;
                            }
                            case 7: {                                   // RORS
                                const n = m & 31;
                                nz = n ? (a >>> n) | (a << (32 - n)) : a;
                                if (m & 0xff) {
                                    c = nz >>> 31;
                                }
                                r[d] = nz;
                                break;
                            }
                            case 8:                                     // TST
                                nz = a & m;
                                break;
                            case 9:                                     // RSBS #0
                                nz = -m | 0;
                                c = m === 0 ? 1 : 0;
                                v = (m & nz) >>> 31;
                                r[d] = nz;
                                break;
                            case 10:                                    // CMP
                                nz = (a - m) | 0;
                                c = a >>> 0 >= m >>> 0 ? 1 : 0;
                                v = ((a ^ m) & (a ^ nz)) >>> 31;
                                break;
                            case 11:                                    // CMN
                                nz = (a + m) | 0;
                                c = nz >>> 0 < a >>> 0 ? 1 : 0;
                                v = ((a ^ nz) & (m ^ nz)) >>> 31;
                                break;
                            case 12:                                    // ORRS
                                r[d] = nz = a | m;
                                break;
                            case 13:                                    // MULS
                                r[d] = nz = Math.imul(a, m);
                                break;
                            case 14:                                    // BICS
                                r[d] = nz = a & ~m;
                                break;
                            case 15:                                    // MVNS
                                r[d] = nz = ~m;
                                break;
                        }
                        break;
                    }
                    case 0x44: {                                        // ADD, any register
                        const d = (op & 7) | ((op >> 4) & 8);
                        const n = (op >> 3) & 15;
                        const m = n === 15 ? pc + 2 : r[n];
                        if (d === 15) {
                            pc = (pc + 2 + m) & ~1;
                            used++;
                        } else {
                            r[d] = d === 13 ? (r[13] + m) & ~3 : r[d] + m;
                        }
                        break;
                    }
                    case 0x45: {                                        // CMP, any register
                        const n = (op & 7) | ((op >> 4) & 8);
                        const a = n === 15 ? pc + 2 : r[n];
                        const m = (op >> 3) & 15;
                        const b = m === 15 ? pc + 2 : r[m];
                        nz = (a - b) | 0;
                        c = a >>> 0 >= b >>> 0 ? 1 : 0;
                        v = ((a ^ b) & (a ^ nz)) >>> 31;
                        break;
                    }
                    case 0x46: {                                        // MOV, any register
                        const d = (op & 7) | ((op >> 4) & 8);
                        const n = (op >> 3) & 15;
                        const m = n === 15 ? pc + 2 : r[n];
                        if (d === 15) {
                            pc = m & ~1;
                            used++;
                        } else {
                            r[d] = d === 13 ? m & ~3 : m;
                        }
                        break;
                    }
                    case 0x47: {                                        // BX, BLX
                        const m = r[(op >> 3) & 15];
                        used++;
                        if (op & 0x80) {
                            r[14] = pc | 1;
                        } else if (this.handler && m >>> 28 === 15) {
                            this.pc = pc;
                            this.used = used;
                            this.leave(m);
                            ({ pc, used, nz, c, v } = this);
                            break;
                        }
                        if (!(m & 1)) {
                            this.pc = pc - 2;
                            this.used = used;
                            this.fault('branch without the Thumb bit', m);
                        }
                        pc = m & ~1;
                        break;
                    }
                    case 0x48: case 0x49: case 0x4a: case 0x4b:
                    case 0x4c: case 0x4d: case 0x4e: case 0x4f:         // LDR literal
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[(op >> 8) & 7] = this.read32(((pc + 2) & ~3) + ((op & 0xff) << 2));
                        used = this.used;
                        break;
                    case 0x50: case 0x51:                               // STR register
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write32((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0, r[op & 7]);
                        used = this.used;
                        break;
                    case 0x52: case 0x53:                               // STRH register
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write16((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0, r[op & 7]);
                        used = this.used;
                        break;
                    case 0x54: case 0x55:                               // STRB register
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write8((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0, r[op & 7]);
                        used = this.used;
                        break;
                    case 0x56: case 0x57:                               // LDRSB
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] =
                            (this.read8((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0) << 24) >> 24;
                        used = this.used;
                        break;
                    case 0x58: case 0x59:                               // LDR register
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] = this.read32((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0);
                        used = this.used;
                        break;
                    case 0x5a: case 0x5b:                               // LDRH register
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] = this.read16((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0);
                        used = this.used;
                        break;
                    case 0x5c: case 0x5d:                               // LDRB register
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] = this.read8((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0);
                        used = this.used;
                        break;
                    case 0x5e: case 0x5f:                               // LDRSH
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] =
                            (this.read16((r[(op >> 3) & 7] + r[(op >> 6) & 7]) | 0) << 16) >> 16;
                        used = this.used;
                        break;
                    case 0x60: case 0x61: case 0x62: case 0x63:
                    case 0x64: case 0x65: case 0x66: case 0x67:         // STR
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write32((r[(op >> 3) & 7] + ((op >> 4) & 0x7c)) | 0, r[op & 7]);
                        used = this.used;
                        break;
                    case 0x68: case 0x69: case 0x6a: case 0x6b:
                    case 0x6c: case 0x6d: case 0x6e: case 0x6f:         // LDR
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] = this.read32((r[(op >> 3) & 7] + ((op >> 4) & 0x7c)) | 0);
                        used = this.used;
                        break;
                    case 0x70: case 0x71: case 0x72: case 0x73:
                    case 0x74: case 0x75: case 0x76: case 0x77:         // STRB
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write8((r[(op >> 3) & 7] + ((op >> 6) & 31)) | 0, r[op & 7]);
                        used = this.used;
                        break;
                    case 0x78: case 0x79: case 0x7a: case 0x7b:
                    case 0x7c: case 0x7d: case 0x7e: case 0x7f:         // LDRB
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] = this.read8((r[(op >> 3) & 7] + ((op >> 6) & 31)) | 0);
                        used = this.used;
                        break;
                    case 0x80: case 0x81: case 0x82: case 0x83:
                    case 0x84: case 0x85: case 0x86: case 0x87:         // STRH
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write16((r[(op >> 3) & 7] + ((op >> 5) & 62)) | 0, r[op & 7]);
                        used = this.used;
                        break;
                    case 0x88: case 0x89: case 0x8a: case 0x8b:
                    case 0x8c: case 0x8d: case 0x8e: case 0x8f:         // LDRH
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[op & 7] = this.read16((r[(op >> 3) & 7] + ((op >> 5) & 62)) | 0);
                        used = this.used;
                        break;
                    case 0x90: case 0x91: case 0x92: case 0x93:
                    case 0x94: case 0x95: case 0x96: case 0x97:         // STR [sp]
                        this.pc = pc - 2;
                        this.used = used + 1;
                        this.write32((r[13] + ((op & 0xff) << 2)) | 0, r[(op >> 8) & 7]);
                        used = this.used;
                        break;
                    case 0x98: case 0x99: case 0x9a: case 0x9b:
                    case 0x9c: case 0x9d: case 0x9e: case 0x9f:         // LDR [sp]
                        this.pc = pc - 2;
                        this.used = used + 1;
                        r[(op >> 8) & 7] = this.read32((r[13] + ((op & 0xff) << 2)) | 0);
                        used = this.used;
                        break;
                    case 0xa0: case 0xa1: case 0xa2: case 0xa3:
                    case 0xa4: case 0xa5: case 0xa6: case 0xa7:         // ADR
                        r[(op >> 8) & 7] = ((pc + 2) & ~3) + ((op & 0xff) << 2);
                        break;
                    case 0xa8: case 0xa9: case 0xaa: case 0xab:
                    case 0xac: case 0xad: case 0xae: case 0xaf:         // ADD rd, sp
                        r[(op >> 8) & 7] = r[13] + ((op & 0xff) << 2);
                        break;
                    case 0xb0:                                          // ADD, SUB sp
                        r[13] += op & 0x80 ? -((op & 0x7f) << 2) : (op & 0x7f) << 2;
                        break;
                    case 0xb2: {                                        // extend
                        const m = r[(op >> 3) & 7];
                        switch ((op >> 6) & 3) {
                            case 0:
                                r[op & 7] = (m << 16) >> 16;
                                break;
                            case 1:
                                r[op & 7] = (m << 24) >> 24;
                                break;
                            case 2:
                                r[op & 7] = m & 0xffff;
                                break;
                            case 3:
                                r[op & 7] = m & 0xff;
                                break;
                        }
                        break;
                    }
                    case 0xb4: case 0xb5: {                             // PUSH
                        let a = r[13];
                        this.pc = pc - 2;
                        this.used = used;
                        if (op & 0x100) {
                            a = (a - 4) | 0;
                            this.write32(a, r[14]);
                            used++;
                        }
                        for (let i = 7; i >= 0; i--) {
                            if (op & (1 << i)) {
                                a = (a - 4) | 0;
                                this.write32(a, r[i]);
                                used++;
                            }
                        }
                        r[13] = a;
                        break;
                    }
                    case 0xbc: case 0xbd: {                             // POP
                        let a = r[13];
                        this.pc = pc - 2;
                        this.used = used;
                        for (let i = 0; i < 8; i++) {
                            if (op & (1 << i)) {
                                r[i] = this.read32(a);
                                a = (a + 4) | 0;
                                used++;
                            }
                        }
                        if (op & 0x100) {
                            const m = this.read32(a);
                            r[13] = a + 4;
                            used += 3;
                            this.used = used;
                            if (this.handler && m >>> 28 === 15) {
                                this.leave(m);
                                ({ pc, used, nz, c, v } = this);
                                break;
                            }
                            if (!(m & 1)) {
                                this.pc = pc - 2;
                                this.fault('branch without the Thumb bit', m);
                            }
                            pc = m & ~1;
                        } else {
                            r[13] = a;
                        }
                        break;
                    }
                    case 0xb6:                                          // CPSIE, CPSID
                        if (op === 0xb662) {
                            this.PM = false;
                            this.attend();
                        } else if (op === 0xb672) {
                            this.PM = true;
                        } else {
                            this.pc = pc - 2;
                            this.used = used;
                            this.fault('undefined instruction', pc - 2);
                        }
                        break;
                    case 0xba: {                                        // REV
                        const m = r[(op >> 3) & 7];
                        switch ((op >> 6) & 3) {
                            case 0:
                                r[op & 7] = (m << 24) | ((m & 0xff00) << 8)
                                    | ((m >>> 8) & 0xff00) | (m >>> 24);
                                break;
                            case 1:
                                r[op & 7] = ((m & 0xff00ff) << 8) | ((m >>> 8) & 0xff00ff);
                                break;
                            case 3:
                                r[op & 7] = ((m & 0xff) << 24 >> 16) | ((m >>> 8) & 0xff);
                                break;
                            default:
                                this.pc = pc - 2;
                                this.used = used;
                                this.fault('undefined instruction', pc - 2);
                        }
                        break;
                    }
                    case 0xbe: {                                        // BKPT
                        this.pc = pc;
                        this.used = used;
                        this.nz = nz;
                        this.c = c;
                        this.v = v;
                        if (!this.bus.breakpoint(op & 0xff, pc - 2)) {
                            this.pc = pc - 2;
                            this.fault('BKPT without a debugger', pc - 2);
                        }
                        ({ pc, used, nz, c, v } = this);
                        break;
                    }
                    case 0xbf:                                          // hints
                        switch (op & 0xff) {
                            case 0x20:                                  // WFE
                                if (this.event) {
                                    this.event = false;
                                } else {
                                    this.waiting = true;
                                    this.attend();
                                }
                                break;
                            case 0x30:                                  // WFI
                                this.waiting = true;
                                this.attend();
                                break;
                            case 0x40:                                  // SEV
                                this.event = true;
                                break;
                        }
                        break;
                    case 0xc0: case 0xc1: case 0xc2: case 0xc3:
                    case 0xc4: case 0xc5: case 0xc6: case 0xc7: {       // STM
                        const n = (op >> 8) & 7;
                        let a = r[n];
                        this.pc = pc - 2;
                        for (let i = 0; i < 8; i++) {
                            if (op & (1 << i)) {
                                this.used = used + 1;
                                this.write32(a, r[i]);
                                a = (a + 4) | 0;
                                used = this.used;
                            }
                        }
                        r[n] = a;
                        break;
                    }
                    case 0xc8: case 0xc9: case 0xca: case 0xcb:
                    case 0xcc: case 0xcd: case 0xce: case 0xcf: {       // LDM
                        const n = (op >> 8) & 7;
                        let a = r[n];
                        this.pc = pc - 2;
                        for (let i = 0; i < 8; i++) {
                            if (op & (1 << i)) {
                                this.used = used + 1;
                                r[i] = this.read32(a);
                                a = (a + 4) | 0;
                                used = this.used;
                            }
                        }
                        if (!(op & (1 << n))) {
                            r[n] = a;
                        }
                        break;
                    }
                    case 0xd0:                                          // B<cond>
                        if (nz === 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd1:
                        if (nz !== 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd2:
                        if (c) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd3:
                        if (!c) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd4:
                        if (nz < 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd5:
                        if (nz >= 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd6:
                        if (v) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd7:
                        if (!v) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd8:                                          // HI
                        if (c && nz !== 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xd9:                                          // LS
                        if (!c || nz === 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xda:                                          // GE
                        if (nz >>> 31 === v) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xdb:                                          // LT
                        if (nz >>> 31 !== v) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xdc:                                          // GT
                        if (nz >>> 31 === v && nz !== 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xdd:                                          // LE
                        if (nz >>> 31 !== v || nz === 0) {
                            pc += ((op << 24) >> 23) + 2;
                            used++;
                        }
                        break;
                    case 0xdf:                                          // SVC
                        this.pendingSVCall = true;
                        this.attend();
                        break;
                    case 0xe0: case 0xe1: case 0xe2: case 0xe3:
                    case 0xe4: case 0xe5: case 0xe6: case 0xe7:         // B
                        if (op === 0xe7fe) {            // to itself: only an interrupt ends it
                            this.waiting = true;
                            this.attend();
                        }
                        pc += ((op << 21) >> 20) + 2;
                        used++;
                        break;
                    case 0xf0: case 0xf1: case 0xf2: case 0xf3:
                    case 0xf4: case 0xf5: case 0xf6: case 0xf7: {       // the wide ones
                        this.pc = pc - 2;
                        this.used = used;
                        const op2 = this.read16(pc);
                        if ((op2 & 0xd000) === 0xd000) {                // BL
                            const s = (op << 21) >> 31;
                            const i1 = ~((op2 >> 13) ^ s) & 1;
                            const i2 = ~((op2 >> 11) ^ s) & 1;
                            const offset = (s << 24) | (i1 << 23) | (i2 << 22)
                                | ((op & 0x3ff) << 12) | ((op2 & 0x7ff) << 1);
                            r[14] = (pc + 2) | 1;
                            pc = (pc + 2 + offset) | 0;
                            used += 2;
                        } else if (op === 0xf3bf && (op2 & 0xff00) === 0x8f00) {    // barrier
                            pc += 2;
                            used += 2;
                        } else if (op === 0xf3ef && op2 >>> 12 === 8) {             // MRS
                            this.nz = nz;
                            this.c = c;
                            this.v = v;
                            r[(op2 >> 8) & 15] = this.readSpecial(op2 & 0xff);
                            pc += 2;
                            used += 2;
                        } else if ((op & 0xfff0) === 0xf380 && op2 >>> 8 === 0x88) { // MSR
                            this.nz = nz;
                            this.c = c;
                            this.v = v;
                            this.writeSpecial(op2 & 0xff, r[op & 15]);
                            ({ nz, c, v } = this);
                            pc += 2;
                            used += 2;
                        } else {
                            this.pc = pc - 2;
                            this.fault('undefined instruction', pc - 2);
                        }
                        break;
                    }
                    default:
                        this.pc = pc - 2;
                        this.used = used;
                        this.fault('undefined instruction', pc - 2);
                }
            }
            this.pc = pc;
            this.used = used;
            this.nz = nz;
            this.c = c;
            this.v = v;
        } catch (error) {
            this.nz = nz;
            this.c = c;
            this.v = v;
            if (error !== FAULT) {
                throw error;
            }
            this.hardFault();
        } finally {
            this.instructions += count;
        }
    }
}
