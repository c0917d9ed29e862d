// SPDX-License-Identifier: MIT
// The emulator as a program: one request per line of JSON on stdin, one answer per line on stdout.
// Bytes travel as base64, text from the chip as one character per byte. pico.py is the other end
// and says what each request means.

import { createInterface } from 'node:readline';
import { Chip } from './chip.mjs';
import { Flash } from './flash.mjs';

let flash = null;
let chip = null;
const kept = new Map();                 // images of the flash by number
let lastKept = 0;
let recording = null;                   // the last one: its operations, and how far it was replayed

const bytes = (text) => Buffer.from(text, 'base64');
const base64 = (data) => Buffer.from(data.buffer, data.byteOffset, data.length).toString('base64');
const nanos = (seconds) => (seconds === undefined || seconds === null ? Infinity : seconds * 1e9);

function put(offset, data) {
    if (offset + data.length > flash.size) {
        throw new Error('that does not fit into the flash');
    }
    flash.cells.set(data, offset);
}

function recordingOf(number) {
    if (recording?.number !== number) {
        throw new Error('another recording was begun since');
    }
    return recording;
}

const requests = {
    new({ size, flash: flashOptions, chip: chipOptions }) {
        chip?.powerOff();
        flash = new Flash(size, flashOptions);
        chip = new Chip(flash, chipOptions);
    },
    put({ offset, data }) {
        put(offset, bytes(data));
    },
    get({ offset, length }) {
        return base64(flash.cells.slice(offset, offset + length));
    },
    keep() {
        kept.set(++lastKept, flash.cells.slice());
        return lastKept;
    },
    restore({ number }) {
        flash.cells.set(kept.get(number));
        flash.forget();
    },
    forget({ number }) {
        kept.delete(number);
    },
    differs({ number }) {
        return Buffer.compare(kept.get(number), flash.cells) !== 0;
    },
    power({ on }) {
        if (on) {
            chip.powerOn();
        } else {
            chip.powerOff();
        }
    },
    reset({ cause }) {
        chip.reset(cause);
    },
    operate({ offset, length, data }) {
        if (data === undefined) {
            flash.erase(offset, length);
        } else {
            flash.program(offset, bytes(data));
        }
    },
    cut({ number, kind, seed }) {
        flash.armCut(number, kind, seed);
    },
    uncut() {
        flash.cutAt = null;
    },
    send({ data }) {
        if (!chip.serial) {
            throw new Error('no USB host is connected');
        }
        chip.serial.send(bytes(data));
    },
    run({ until, uart, seconds, cycles, on_reset: onReset, take }) {
        const result = chip.run({
            until, uart, nanos: nanos(seconds), cycles: cycles ?? Infinity, onReset });
        // With `take` the text up to the string found is the caller's, and no longer looked at.
        const end = result.why === 'text' ? until[result.which] : undefined;
        result.text = take || result.why !== 'text' ? chip.take(end) : '';
        result.pc = chip.cpu?.pc >>> 0;
        return result;
    },
    memory({ address, length }) {
        const data = chip.memory(address, length);
        if (!data) {
            throw new Error('no RAM or mapped flash there');
        }
        return base64(data);
    },
    poke({ address, data }) {
        chip.ram(address, bytes(data).length).set(bytes(data));
    },
    jump({ address, stack }) {
        chip.enter(address, stack);
    },
    registers() {
        return { r: Array.from(chip.cpu.r.subarray(0, 15), (n) => n >>> 0),
            apsr: chip.cpu.APSR >>> 28 };
    },
    register({ address }) {
        return chip.load(address, 4) >>> 0;
    },
    state() {
        return {
            ...chip.figures(), state: chip.state, detail: chip.why, uart: chip.uart,
            events: chip.events, pc: chip.cpu?.pc >>> 0, connected: !!chip.serial?.connected,
            faults: chip.cpu?.faults ?? 0, last_fault: chip.cpu?.lastFault ?? '',
            unknown: Object.fromEntries(chip.unknown),
            wear: Object.fromEntries(flash.wear),
        };
    },
    record() {
        kept.delete(recording?.number);
        const operations = [];
        recording = { number: requests.keep(), operations, cells: null, replayed: 0 };
        flash.recorder = operations;
        return recording.number;
    },
    recorded({ number }) {
        return recordingOf(number).operations.map(({ kind, offset, length }) => [
            kind, offset, length]);
    },
    // Makes the flash what a power cut at operation `index` of the recording would have left.
    variant({ number, index, kind, seed }) {
        const { operations } = recordingOf(number);
        flash.recorder = null;
        flash.forget();
        if (!recording.cells || index < recording.replayed) {
            recording.cells = kept.get(number).slice();
            recording.replayed = 0;
        }
        flash.cells.set(recording.cells);
        for (; recording.replayed < index; recording.replayed++) {
            flash.apply(operations[recording.replayed]);
        }
        recording.cells.set(flash.cells);
        if (kind === 'torn') {
            flash.tear(operations[index], seed);
        } else if (kind === 'after') {
            flash.apply(operations[index]);
        }
    },
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    let answer;
    try {
        const { do: what, ...rest } = JSON.parse(line);
        answer = { ok: requests[what](rest) ?? null };
    } catch (error) {
        answer = { error: error.message, kind: error.constructor.name, stack: error.stack };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
