// A chat gateway as it is usually written for Node, with `ws` and `redis`: one send for each message and member.
//
//     node node-gateway.js PORT REDIS_PORT

"use strict";

const { WebSocketServer } = require("ws");
const { createClient } = require("redis");

const [port, redisPort] = process.argv.slice(2).map(Number);

async function main() {
    const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
    const subscriber = publisher.duplicate();
    for (const client of [publisher, subscriber]) client.on("error", (error) => console.error(error.message));
    await Promise.all([publisher.connect(), subscriber.connect()]);

    const rooms = new Map(); // name: its members, and when its subscription stands

    function join(socket, name) {
        let room = rooms.get(name);
        if (!room) {
            room = { members: new Set() };
            room.subscribed = subscriber.subscribe(`chat:${name}`, (text) => {
                for (const member of room.members) member.send(text);
            });
            rooms.set(name, room);
        }
        room.members.add(socket);
        socket.rooms.push(name);
        room.subscribed.then(() => socket.send(JSON.stringify({ type: "joined", room: name })));
    }

    function leave(socket, name) {
        const room = rooms.get(name);
        room.members.delete(socket);
        if (room.members.size > 0) return;
        rooms.delete(name);
        subscriber.unsubscribe(`chat:${name}`);
    }

    const server = new WebSocketServer({ host: "127.0.0.1", port, backlog: 4096 });
    server.on("connection", (socket) => {
        socket.rooms = [];
        socket.on("error", () => {});
        socket.on("message", (data) => {
            const { type, room, text } = JSON.parse(data);
            if (type === "join") join(socket, room);
            else if (type === "message") publisher.publish(`chat:${room}`, JSON.stringify({ type, room, text }));
        });
        socket.on("close", () => socket.rooms.forEach((name) => leave(socket, name)));
    });
}

main();
