// SPDX-License-Identifier: MIT
// The host's end of the USB cable: enumerates the device, opens its CDC serial port, then carries
// bytes both ways. Unlike the one in rp2040js it does not answer while it has nothing to send, as a
// real host, so an idle device is really idle.

import {
    createSetupPacket, DataDirection, DescriptorType, getDescriptorPacket,
    setDeviceAddressPacket, setDeviceConfigurationPacket, SetupRecipient, SetupType,
} from './rp2040js.mjs';

const CONFIGURATION = 2;                // type of descriptor, and the length of its head
const CONFIGURATION_SIZE = 9;
const SET_CONTROL_LINE_STATE = 0x22;
const DTR_RTS = 3;

// The bulk endpoints of the CDC data interface.
function bulkEndpoints(descriptors) {
    const found = {};
    let data = false;
    for (let at = 0; at < descriptors.length; at += descriptors[at] || 1) {
        const [length, type] = descriptors.slice(at, at + 2);
        if (type === DescriptorType.Interface && length === 9) {
            data = descriptors[at + 5] === 10;
        } else if (data && type === DescriptorType.Endpoint && (descriptors[at + 3] & 3) === 2) {
            const address = descriptors[at + 2];
            found[address & 0x80 ? 'in' : 'out'] = address & 0xf;
        }
    }
    return found;
}

export class Serial {
    constructor(usb, receive) {
        this.usb = usb;
        this.connected = false;
        this.queue = [];                // chunks for the device
        this.offset = 0;                // sent bytes of the first
        this.wanted = null;             // bytes that the device has room for
        this.descriptors = [];
        this.size = null;
        usb.onUSBEnabled = () => usb.resetDevice();
        usb.onResetReceived = () => usb.sendSetupPacket(setDeviceAddressPacket(1));
        usb.onEndpointWrite = (endpoint, buffer) => {
            if (endpoint === 0) {
                this.control(buffer);
            } else if (endpoint === this.endpoints?.in) {
                receive(buffer);
            }
        };
        usb.onEndpointRead = (endpoint, size) => {
            if (endpoint === this.endpoints?.out) {
                this.wanted = size;
                this.pump();
            }
        };
    }

    // Enumeration, one answer of the device after another.
    control(buffer) {
        const { usb } = this;
        if (buffer.length === 0) {
            if (this.size === null) {
                usb.sendSetupPacket(
                    getDescriptorPacket(CONFIGURATION, CONFIGURATION_SIZE));
            } else if (!this.connected) {
                usb.sendSetupPacket(createSetupPacket({
                    dataDirection: DataDirection.HostToDevice,
                    type: SetupType.Class,
                    recipient: SetupRecipient.Device,
                    bRequest: SET_CONTROL_LINE_STATE,
                    wValue: DTR_RTS,
                    wIndex: 0,
                    wLength: 0,
                }));
                this.connected = true;
            }
            return;
        }
        if (this.size === null && buffer.length === CONFIGURATION_SIZE) {
            this.size = buffer[2] | (buffer[3] << 8);
            usb.sendSetupPacket(getDescriptorPacket(CONFIGURATION, this.size));
        } else if (this.size !== null && this.descriptors.length < this.size) {
            this.descriptors.push(...buffer);
            if (this.descriptors.length >= this.size) {
                this.endpoints = bulkEndpoints(this.descriptors);
                usb.sendSetupPacket(setDeviceConfigurationPacket(1));
            }
        }
    }

    send(bytes) {
        if (bytes.length) {
            this.queue.push(bytes);
            this.pump();
        }
    }

    get pending() {
        return this.queue.reduce((sum, chunk) => sum + chunk.length, -this.offset);
    }

    pump() {
        if (this.wanted === null || !this.queue.length) {
            return;
        }
        const chunk = this.queue[0];
        const end = Math.min(this.offset + this.wanted, chunk.length);
        const part = chunk.subarray(this.offset, end);
        this.offset = end;
        if (end === chunk.length) {
            this.queue.shift();
            this.offset = 0;
        }
        this.wanted = null;
        this.usb.endpointReadDone(this.endpoints.out, part);
    }
}
