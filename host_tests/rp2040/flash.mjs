// SPDX-License-Identifier: MIT
// A NOR flash that behaves no better than a real one: programming only clears bits, whole pages at
// a time; erasing takes its time and whole sectors; power that fails in either leaves whatever the
// seed says, and cells that were on their way may read differently after every power-up, also if
// they read right at first, until they are programmed again or their sector is erased.
// An operation is one command to the flash: erase of 4, 32 or 64 KB, program of a page.

import { ChipError } from './parts.mjs';

export const SECTOR = 4096;
export const PAGE = 256;

// Nanoseconds per operation, as data sheets of common 2 MB parts (W25Q16) have them.
const TIMES = {
    typical: { 4096: 45e6, 32768: 120e6, 65536: 150e6, page: 0.4e6 },
    worst: { 4096: 400e6, 32768: 1600e6, 65536: 2000e6, page: 3e6 },
};

// mulberry32: small, quick, the same everywhere.
export function random(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return (t ^ (t >>> 14)) >>> 0;
    };
}

// Thrown when the power fails; nothing on the chip can catch it.
export class PowerCut extends Error {}

export class Flash {
    // loose: out-of-range addresses wrap and programming over old data is let through in silence,
    // as on the part; the latter also from offset fileSystem on, where LittleFS does it after a
    // cut, reads back and moves on. weak: torn cells read differently at each power-up.
    constructor(size, {
        timing = 'typical', loose = false, fileSystem = null, weak = false, seed = 1,
    } = {}) {
        this.size = size;
        this.fileSystem = fileSystem ?? size;
        this.cells = new Uint8Array(size).fill(0xff);
        this.times = TIMES[timing];
        this.loose = loose;
        this.weak = weak ? new Map() : null;        // offset -> mask of unreliable bits
        this.seed = this.noise = seed;
        this.powerUps = 0;
        this.operations = 0;
        this.erases = 0;
        this.programs = 0;
        this.wear = new Map();                      // sector -> erases
        this.cutAt = null;
        this.recorder = null;
        this.busyUntil = 0;
        this.clock = null;                          // of the chip that it hangs on
        this.powerUp();
    }

    powerUp() {
        this.continuous = false;                    // reads without a command byte
        this.command = [];
        this.writable = false;
        this.quad = true;
        this.busyUntil = 0;
        this.powerUps++;
        if (this.weak) {
            const next = random(this.noise ^ (this.powerUps * 0x9e3779b9));
            // At times the supply or the temperature makes all of them read the same.
            const alike = [0x00, 0xff][next() % 4];
            for (const [offset, mask] of this.weak) {
                this.cells[offset] = (this.cells[offset] & ~mask) | ((alike ?? next()) & mask);
            }
        }
    }

    // All cells are firm now, and what weak ones will read depends on later cuts alone.
    forget() {
        this.weak?.clear();
        this.powerUps = 0;
        this.noise = this.seed;
    }

    // ---- operations

    // Fails the power at operation `number`, counted from 0 as this.operations does: 'before' it,
    // 'torn' in it, 'after' it.
    armCut(number, kind, seed) {
        this.cutAt = { number, kind, seed };
    }

    within(offset, length, what) {
        if ((offset < 0 || offset + length > this.size) && !this.loose) {
            throw new ChipError(`${what} at 0x${offset.toString(16)}, the flash ends at `
                + `0x${this.size.toString(16)}`);
        }
        return offset & (this.size - 1);
    }

    erase(offset, length) {
        offset = this.within(offset, length, 'erase') & ~(length - 1);
        this.operate({ kind: 'erase', offset, length });
    }

    program(offset, data) {
        const page = this.within(offset, data.length, 'program') & ~(PAGE - 1);
        // Beyond the end of its page a part goes on at the beginning of the same page.
        const content = new Uint8Array(PAGE).fill(0xff);
        data.slice(-PAGE).forEach((byte, i) => {
            content[(offset + data.length - Math.min(data.length, PAGE) + i) & (PAGE - 1)] = byte;
        });
        if (!this.loose && page < this.fileSystem) {
            for (let i = 0; i < PAGE; i++) {
                if (content[i] !== 0xff && content[i] & ~this.cells[page + i]) {
                    throw new ChipError(`program at 0x${(page + i).toString(16)} over what is not `
                        + `erased: 0x${content[i].toString(16)} over `
                        + `0x${this.cells[page + i].toString(16)}`);
                }
            }
        }
        this.operate({ kind: 'program', offset: page, length: PAGE, data: content });
    }

    operate(operation) {
        const cut = this.cutAt?.number === this.operations ? this.cutAt : null;
        if (cut?.kind === 'before') {
            throw new PowerCut();
        }
        this.recorder?.push(operation);
        this.operations++;
        if (operation.kind === 'erase') {
            this.erases++;
            for (let at = operation.offset; at < operation.offset + operation.length; at += SECTOR) {
                this.wear.set(at, (this.wear.get(at) ?? 0) + 1);
            }
        } else {
            this.programs++;
        }
        if (cut?.kind === 'torn') {
            this.tear(operation, cut.seed);
            throw new PowerCut();
        }
        this.apply(operation);
        if (cut) {
            throw new PowerCut();
        }
        const nanos = this.times[operation.kind === 'erase' ? operation.length : 'page'];
        this.busyUntil = (this.clock?.nanos ?? 0) + nanos;
    }

    apply({ kind, offset, length, data }) {
        if (kind === 'erase') {
            this.cells.fill(0xff, offset, offset + length);
        } else {
            for (let i = 0; i < length; i++) {
                this.cells[offset + i] &= data[i];
            }
        }
        if (this.weak?.size) {
            for (const [at, mask] of this.weak) {
                if (at >= offset && at < offset + length) {
                    // A finished erase makes cells firm, a finished program the ones it clears.
                    const left = kind === 'erase' ? 0 : mask & data[at - offset];
                    if (left) {
                        this.weak.set(at, left);
                    } else {
                        this.weak.delete(at);
                    }
                }
            }
        }
    }

    // Does a random part of an operation, in a style that the seed chooses.
    tear(operation, seed) {
        const next = random(seed);
        this.noise ^= next();
        const { offset, length } = operation;
        const set = (i, value, unsure) => {
            const at = offset + i;
            this.cells[at] = value;
            if (this.weak && unsure) {
                this.weak.set(at, this.weak.get(at) | unsure);
            }
        };
        const moving = (bits) => bits & next() & next();
        if (operation.kind === 'program') {
            this.tearProgram(operation, next, next() % 6, set, moving);
            return;
        }
        // An erase first programs all cells down, then raises them, so a bit may go either way.
        const style = next() % 6;
        const point = next() % length;
        for (let i = 0; i < length; i++) {
            const old = this.cells[offset + i];
            const first = i % SECTOR < PAGE;
            if (style >= 4) {
                if (first === (style === 4)) {
                    set(i, 0xff, 0);                    // the first page alone; all but this
                }
                continue;
            }
            const value = [
                () => (i < point ? 0xff : old),                         // the first bytes
                () => (next() & 0xff),                                  // anything
                () => old & ~(next() & next() & next()),                // began to programme
                () => 0xff & ~(next() & next() & next() & next() & next()),     // a few bits left
            ][style]();
            set(i, value, moving(0xff));
        }
    }

    tearProgram({ offset, length, data }, next, style, set, moving) {
        const point = next() % length;
        const single = 1 << next() % 8;
        const written = [];
        for (let i = 0; i < length; i++) {
            const old = this.cells[offset + i];
            const clears = old & ~data[i];
            if (style >= 4) {
                set(i, old & data[i], 0);               // everything, as it seems
                for (let bit = 1; bit < 256; bit <<= 1) {
                    if (clears & bit) {
                        written.push([i, bit]);
                    }
                }
                continue;
            }
            const done = [
                () => (i < point ? clears : 0),                     // the first bytes
                () => clears & next(),                              // half of the bits
                () => (i === point ? clears & single : 0),          // hardly anything
                () => (i === point ? clears & ~single : clears),    // nearly everything
            ][style]();
            set(i, old & ~done, moving(clears));
        }
        // But one bit to three, or all of them, read right only until the power comes back.
        const start = written.length && next() % written.length;
        const marginal = style === 4 ? written.slice(start, start + 1 + next() % 3) : written;
        for (const [i, bit] of marginal) {
            set(i, this.cells[offset + i], bit);
        }
    }

    // ---- commands, byte by byte, for code that talks to the flash itself

    get busy() {
        return (this.clock?.nanos ?? 0) < this.busyUntil;
    }

    exchange(byte) {
        if (this.continuous) {
            throw new ChipError(`command 0x${byte.toString(16)} to a flash that was not told to `
                + 'leave its continuous reading');
        }
        const { command } = this;
        if (!command.length && this.busy && byte !== 0x05) {
            throw new ChipError(`command 0x${byte.toString(16)} to a busy flash`);
        }
        command.push(byte);
        const at = command.length - 1;
        switch (command[0]) {
            case 0x03:
                if (at < 4) {
                    return 0;
                }
                return this.cells[(((command[1] << 16) | (command[2] << 8) | command[3]) + at - 4)
                    & (this.size - 1)];
            case 0x05:
                return at ? (this.busy ? 1 : 0) | (this.writable ? 2 : 0) : 0;
            case 0x35:
                return at && this.quad ? 2 : 0;
            case 0x4b:                              // serial number
                return at >= 5 ? (0xe6 + 37 * (at - 5)) & 0xff : 0;
            case 0x9f:
                return [0, 0xef, 0x40, Math.log2(this.size)][at] ?? 0;
        }
        return 0;
    }

    // The chip select goes up, which is when a command is carried out.
    deselect() {
        const { command } = this;
        if (!command.length) {
            return;
        }
        this.command = [];
        const write = this.writable;
        switch (command[0]) {
            case 0x06:
                this.writable = true;
                return;
            case 0x04:
                this.writable = false;
                return;
            case 0x01: case 0x31:
                this.writable = false;
                return;
            case 0x02: case 0x20: case 0x52: case 0xd8: {
                if (!write || command.length < 4) {
                    return;
                }
                this.writable = false;
                const offset = (command[1] << 16) | (command[2] << 8) | command[3];
                if (command[0] === 0x02) {
                    this.program(offset, Uint8Array.from(command.slice(4)));
                } else {
                    this.erase(offset, { 0x20: 4096, 0x52: 32768, 0xd8: 65536 }[command[0]]);
                }
                return;
            }
            case 0xc7: case 0x60:
                throw new ChipError('flash: erase of the whole chip');
        }
    }
}
