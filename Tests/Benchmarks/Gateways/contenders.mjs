// Who is measured: how each is started, and what clients say to it.

import { mkdtempSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Child, ask, freePort, pause, until } from "./processes.mjs";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;

async function listening({ gateway, port }) {
    await until(gateway, async () => (await ask(port)) !== null);
}

const floor = {
    clients: ["--join", "+{room}", "--ready", "joined", "--publish", "{room} {marker}{pad}"],
    command: ({ port, redis, tools }) => [join(tools, "floor"), port, redis],
    ready: listening,
};

/** In the order of the table's columns. The first is what all others are held against. */
export const contenders = {
    floor: { ...floor, title: "C floor" },

    coalesced: {
        ...floor,
        title: "C floor, coalesced",
        command: (place) => [...floor.command(place), "--coalesce"],
    },

    roost: {
        title: "Roost",
        clients: [
            "--path", "/ws?user={user}", "--join", '{"type":"join","room":"{room}"}', "--ready", '"joined"',
            "--publish", '{"type":"message","room":"{room}","text":"{marker}{pad}"}',
        ],
        // One event loop for each core, and none of the limits that protect a gateway from single clients.
        command: ({ port, operations, redis, index, executable, loops }) => [
            executable, "serve", "--node", `bench-${index}`, "--redis", `redis://127.0.0.1:${redis}`,
            "--listen", `127.0.0.1:${port}`, "--ops-listen", `127.0.0.1:${operations}`, "--loops", loops,
            "--messages-per-second", 0, "--joins-per-second", 0, "--max-pending-handshakes", 0, "--log-level", "error",
        ],
        ready: async ({ gateway, operations }) => {
            const request = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
            await until(gateway, async () => (await ask(operations, request))?.includes(" 200 "));
        },
        reconnects: true,
    },

    node: {
        title: "Node, `ws` and `redis`",
        clients: [
            "--join", '{"type":"join","room":"{room}"}', "--ready", '"joined"',
            "--publish", '{"type":"message","room":"{room}","text":"{marker}{pad}"}',
        ],
        command: ({ port, redis }) => ["node", join(here, "node-gateway.js"), port, redis],
        // Where Debian's packages are.
        environment: { NODE_PATH: "/usr/share/nodejs" },
        ready: listening,
        reconnects: true,
    },

    nchan: {
        title: "nginx, Nchan",
        // Who is connected is in the room, and is not told when its subscription stands.
        clients: ["--path", "/ws?room={room}", "--publish", "{marker}{pad}", "--settle", "1"],
        command: ({ port, redis, scratch }) => {
            const folder = mkdtempSync(join(scratch, "nginx."));
            mkdirSync(join(folder, "logs"));
            const values = { FOLDER: folder, PORT: port, REDIS_PORT: redis };
            const template = readFileSync(join(here, "nginx.conf"), "utf8");
            writeFileSync(join(folder, "nginx.conf"), template.replace(/@([A-Z_]+)@/g, (_, value) => values[value]));
            return ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
        },
        ready: async (place) => {
            await listening(place);
            await pause(0.7); // until it has loaded its scripts into Redis, of which it says nothing
        },
    },
};

/** Starts a gateway on these cores, and waits until it takes clients. */
export async function startGateway(name, index, cores, { redis, tools, scratch, executable }) {
    const contender = contenders[name];
    const [port, operations] = [await freePort(), await freePort()];
    const place = { redis, tools, scratch, executable, index, port, operations, loops: cores.length };
    const { title, command, environment } = contender;
    place.gateway = new Child(title, cores.join(","), command(place), { environment });
    await contender.ready(place);
    return place;
}
