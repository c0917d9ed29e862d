// SPDX-License-Identifier: MIT
// Simulated time: a function of the cycles that the processor used and of the frequency that
// clk_sys really had meanwhile, so that a boot on the ring oscillator takes as long as on a chip.
// It has the interface that rp2040js wants from its clock: nanos, createAlarm().

class Alarm {
    constructor(clock, callback) {
        this.clock = clock;
        this.callback = callback;
        this.nanos = 0;
        this.scheduled = false;
    }

    schedule(delta) {
        this.cancel();
        this.nanos = this.clock.nanos + delta;
        this.scheduled = true;
        this.clock.link(this);
    }

    cancel() {
        if (this.scheduled) {
            this.scheduled = false;
            this.clock.unlink(this);
        }
    }
}

const LONGEST_SLICE = 1 << 28;      // cycles: keeps the processor's own counter a small integer

export class Clock {
    // `cpu` counts in `used` the cycles since `base` and runs until `slice` of them are used.
    constructor() {
        this.cpu = { used: 0, slice: 0 };
        this.base = 0;              // nanoseconds at which the processor's `used` was 0
        this.cycles = 0;            // used before `base`
        this.slept = 0;             // cycles that passed while the processor did not run
        this.nanosPerCycle = 1;
        this.alarms = [];           // by time, the next one last
    }

    get nanos() {
        return this.base + this.cpu.used * this.nanosPerCycle;
    }

    get micros() {
        return this.nanos / 1000;
    }

    get totalCycles() {
        return this.cycles + this.cpu.used;
    }

    // For cycles of another frequency from now on.
    setFrequency(hertz) {
        this.settle();
        this.nanosPerCycle = 1e9 / hertz;
        this.plan();
    }

    createAlarm(callback) {
        return new Alarm(this, callback);
    }

    link(alarm) {
        const { alarms } = this;
        let i = alarms.length;
        while (i > 0 && alarms[i - 1].nanos <= alarm.nanos) {
            i--;
        }
        alarms.splice(i, 0, alarm);
        if (i === alarms.length - 1) {
            this.plan();
        }
    }

    unlink(alarm) {
        const i = this.alarms.lastIndexOf(alarm);
        if (i >= 0) {
            this.alarms.splice(i, 1);
        }
    }

    get nextAlarm() {
        const { alarms } = this;
        return alarms.length ? alarms[alarms.length - 1].nanos : Infinity;
    }

    // Moves what the processor used into the base.
    settle() {
        const { cpu } = this;
        this.base += cpu.used * this.nanosPerCycle;
        this.cycles += cpu.used;
        cpu.used = 0;
    }

    // Lets the processor run until the next alarm, not further than `limit`.
    plan() {
        const { cpu } = this;
        const nanos = Math.min(this.nextAlarm, this.limit ?? Infinity) - this.base;
        const cycles = Math.ceil(nanos / this.nanosPerCycle);
        cpu.slice = cpu.attention ? 0 : Math.max(0, Math.min(cycles, LONGEST_SLICE));
    }

    // Calls the alarms that are due.
    fire() {
        const now = this.nanos;
        while (this.nextAlarm <= now) {
            const alarm = this.alarms.pop();
            alarm.scheduled = false;
            alarm.callback();
        }
    }

    // Time passes up to `end` without the processor; alarms are called on the way, until `until`.
    passTo(end, until = () => false) {
        this.settle();
        while (this.nextAlarm <= end && !until()) {
            this.skip(Math.max(this.nextAlarm, this.base));
            this.fire();
        }
        if (!until()) {
            this.skip(Math.max(end, this.base));
        }
        this.plan();
    }

    pass(nanos, until) {
        this.passTo(this.nanos + nanos, until);
    }

    skip(nanos) {
        this.slept += (nanos - this.base) / this.nanosPerCycle;
        this.base = nanos;
    }
}
