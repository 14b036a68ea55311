// A message centre on node-smpp: accepts every message of every login, delivers it at once, and sends the receipt that was
// asked for. `node smsc.js PORT LOG ACKNOWLEDGED`; listens on loopback. The last is a file with the id of each receipt that
// was acknowledged. While there is a file of the name in RECEIPTS_HELD, no receipt leaves. The file of
// the name in CLOCK_AHEAD tells by how many seconds the dates in receipts are ahead of the machine's.
//
// Must stay true: the line of a message is in the log before its answer leaves; a receipt that was not acknowledged is sent
// again, over this bind or the next one of the same login.
"use strict";

const fs = require("fs");
const smpp = require("smpp");

const RECEIPTS_MAX = 16; // of one session, waiting for their acknowledgement
const RECEIPT_LIMIT_MS = 10_000;
const AGAIN_MS = 500; // after a receipt that was refused
const FILES_LOOK_MS = 100;
const RECEIPT_CLASS = 0x04; // esm_class of a receipt
const MASK64 = (1n << 64n) - 1n;

const [port, ...names] = process.argv.slice(2);
const [log, acknowledged] = names.map((name) => fs.openSync(name, "a"));
const { RECEIPTS_HELD: heldName = "", CLOCK_AHEAD: aheadName = "" } = process.env;
let held = false;
let aheadMs = 0;
const logins = new Map(); // by name: receipts that wait, the oldest first, and open binds
let nextId = BigInt(Date.now()) * 1000n;
let nextConnection = 1;

// The library decodes the texts; their octets are kept for the log.
for (const coding of Object.values(smpp.encodings)) {
    const decode = coding.decode;
    coding.decode = (octets) => ({ text: decode(octets), octets });
}

// 64-bit FNV-1a, as in the log of Loa's own simulator.
function hash(octets) {
    let hash = 0xcbf29ce484222325n;
    for (const octet of octets) {
        hash = ((hash ^ BigInt(octet)) * 0x100000001b3n) & MASK64;
    }
    return hash.toString(16).padStart(16, "0");
}

// Which part of which text this is: by its header, else by its optional parameters, else the only one.
function partOf(pdu) {
    const header = (pdu.short_message.udh || []).find((element) => element[0] === 0 || element[0] === 8);
    if (header) {
        return [header[header.length - 1], header[header.length - 2]];
    }
    return pdu.sar_total_segments ? [pdu.sar_segment_seqnum, pdu.sar_total_segments] : [1, 1];
}

function textOf(pdu) {
    const whole = (field) => (field && field.message && (field.message.octets || field.message)) || Buffer.alloc(0);
    const short = whole(pdu.short_message);
    return short.length > 0 ? short : whole(pdu.message_payload);
}

function dated(real) {
    const date = new Date(real.getTime() + aheadMs);
    const two = (number) => String(number).padStart(2, "0");
    const day = two(date.getFullYear() % 100) + two(date.getMonth() + 1) + two(date.getDate());
    return day + two(date.getHours()) + two(date.getMinutes());
}

// One bind: what it has sent and not heard of goes back to its login when it ends.
class Bind {
    constructor(session, name) {
        this.session = session;
        this.connection = nextConnection++;
        this.receives = false;
        this.open = true;
        this.out = new Set();
        if (!logins.has(name)) {
            logins.set(name, { receipts: [], binds: new Set() });
        }
        this.login = logins.get(name);
        this.login.binds.add(this);
    }

    accept(pdu) {
        const id = (nextId++).toString(16);
        const [part, parts] = partOf(pdu);
        const at = process.hrtime.bigint() / 1000n + startedUs;
        const fields = [at, this.connection, pdu.destination_addr, `${part}/${parts}`, hash(textOf(pdu)), id];
        fs.writeSync(log, `${fields.join("\t")}\n`);
        this.session.send(pdu.response({ message_id: id }));
        if ([1, 3].includes(pdu.registered_delivery & 3)) {
            const { source_addr: sender, destination_addr: number } = pdu;
            this.login.receipts.push({ id, sender, number, submitted: new Date() });
            this.deliver();
        }
    }

    deliver() {
        while (!held && this.open && this.receives && this.out.size < RECEIPTS_MAX && this.login.receipts.length > 0) {
            const receipt = this.login.receipts.shift();
            this.out.add(receipt);
            this.session.deliver_sm(this.message(receipt), (response) => this.heard(receipt, response));
            receipt.timer = setTimeout(() => this.session.destroy(), RECEIPT_LIMIT_MS);
        }
    }

    message({ id, sender, number, submitted }) {
        return {
            source_addr_ton: 1,
            source_addr_npi: 1,
            source_addr: number,
            dest_addr_ton: 5,
            destination_addr: sender,
            esm_class: RECEIPT_CLASS,
            data_coding: 0,
            short_message: Buffer.from(
                `id:${id} sub:001 dlvrd:001 submit date:${dated(submitted)} done date:${dated(new Date())}` +
                    " stat:DELIVRD err:000 text:",
            ),
            message_state: 2,
            receipted_message_id: id,
        };
    }

    heard(receipt, response) {
        clearTimeout(receipt.timer);
        if (!this.out.delete(receipt)) {
            return;
        }
        if (response.command_status === 0) {
            fs.writeSync(acknowledged, `${receipt.id}\n`);
            this.deliver();
        } else {
            this.login.receipts.unshift(receipt);
            setTimeout(() => this.deliver(), AGAIN_MS);
        }
    }

    ended() {
        this.open = false;
        for (const receipt of this.out) {
            clearTimeout(receipt.timer);
        }
        this.login.receipts.unshift(...this.out);
        this.out.clear();
        this.login.binds.delete(this);
        this.login.binds.forEach((bind) => bind.deliver());
    }
}

function lookAtFiles() {
    held = fs.existsSync(heldName);
    aheadMs = fs.existsSync(aheadName) ? Number(fs.readFileSync(aheadName, "utf8")) * 1000 : 0;
    if (!held) {
        logins.forEach((login) => login.binds.forEach((bind) => bind.deliver()));
    }
}

if (heldName) {
    lookAtFiles();
    setInterval(lookAtFiles, FILES_LOOK_MS);
}

const startedUs = BigInt(Date.now()) * 1000n - process.hrtime.bigint() / 1000n;

const server = smpp.createServer((session) => {
    let bind = null;
    for (const kind of ["transceiver", "transmitter", "receiver"]) {
        session.on(`bind_${kind}`, (pdu) => {
            bind = new Bind(session, pdu.system_id);
            bind.receives = kind !== "transmitter";
            session.send(pdu.response({ system_id: "node-smpp" }));
            bind.deliver();
        });
    }
    session.on("submit_sm", (pdu) => {
        if (bind) {
            bind.accept(pdu);
        } else {
            session.send(pdu.response({ command_status: smpp.ESME_RINVBNDSTS }));
        }
    });
    session.on("enquire_link", (pdu) => session.send(pdu.response()));
    session.on("unknown", (pdu) => session.send(pdu.response()));
    session.on("unbind", (pdu) => {
        session.send(pdu.response());
        session.close();
    });
    session.on("close", () => bind && bind.ended());
    session.on("error", (error) => {
        console.error(`a session failed: ${error.message}`);
        session.destroy();
    });
});
server.listen(Number(port), "127.0.0.1");
