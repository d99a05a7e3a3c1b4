// Starts what a measurement needs, each process on its core, and sees that all of them end.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, connect } from "node:net";

/** The processors that this process may use; the first is the gateway's, the second everybody else's. */
export function cores() {
    const list = readFileSync("/proc/self/status", "utf8").match(/^Cpus_allowed_list:\s*(.*)$/m)[1];
    return list.split(",").flatMap((range) => {
        const [first, last = first] = range.split("-").map(Number);
        return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

const running = new Set();

/** Ends everything that was started, at once. */
export function endAll() {
    for (const child of running) child.kill("SIGKILL");
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
    process.on(signal, () => {
        endAll();
        process.exit(code);
    });
}
process.on("exit", endAll);

/** A process on one core, that ends with this one whatever happens. What it says to standard error is kept. */
export class Child {
    constructor(name, core, command, { nice = 0, environment = {} } = {}) {
        const wrapped = ["--pdeathsig", "KILL", "nice", "-n", nice, "taskset", "-c", core, ...command];
        this.name = name;
        this.output = "";
        this.errors = "";
        this.process = spawn("setpriv", wrapped.map(String), {
            stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment },
        });
        running.add(this.process);
        this.process.stdout.on("data", (data) => (this.output += data));
        this.process.stderr.on("data", (data) => {
            if (this.errors.length < 10_000) this.errors += data;
            this.hears?.(String(data));
        });
        this.ended = new Promise((resolve) => {
            this.process.on("error", (error) => {
                this.errors += error.message;
                resolve(-1);
            });
            this.process.on("close", (code, signal) => resolve(signal ?? code));
        }).then((result) => {
            running.delete(this.process);
            this.result = result;
            return result;
        });
    }

    get id() {
        return this.process.pid;
    }

    /** Throws when it has ended, with its last words. */
    check() {
        if (this.result !== undefined) throw new Error(`${this.name} ended (${this.result}): ${this.errors.trim()}`);
    }

    async end() {
        this.process.kill("SIGKILL");
        await this.ended;
    }

    /** Waits for its end, and returns what it printed. */
    async printed(seconds) {
        const timer = setTimeout(() => this.process.kill("SIGKILL"), seconds * 1000);
        const result = await this.ended;
        clearTimeout(timer);
        if (result !== 0) throw new Error(`${this.name} ended (${result}): ${this.errors.trim()}`);
        return this.output;
    }
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

export function freePort() {
    return new Promise((resolve, reject) => {
        const server = createServer();
        server.on("error", reject);
        server.listen(0, "127.0.0.1", () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/** Sends `text` to a port of this machine and returns the answer's first bytes; null when nobody listens. */
export function ask(port, text) {
    return new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.setTimeout(2000, () => socket.destroy());
        socket.on("connect", () => (text ? socket.write(text) : socket.end(resolve(""))));
        socket.on("data", (data) => socket.end(resolve(String(data))));
        socket.on("error", () => resolve(null));
        socket.on("close", () => resolve(null));
    });
}

/** Waits until `isTrue` says so; throws when `child` ends before, or after ten seconds. */
export async function until(child, isTrue) {
    for (const deadline = Date.now() + 10_000; !(await isTrue()); await pause(0.02)) {
        child.check();
        if (Date.now() > deadline) throw new Error(`${child.name} is not ready after 10 seconds: ${child.errors}`);
    }
}
