// What is measured, and what is read from it.

const gateways = ({ processes }) => processes.filter(({ name }) => name === "gateway");
const sum = (list, value) => list.reduce((total, item) => total + value(item), 0);

const cpuPerJoin = (result, joins, used) => (sum(gateways(result), used) * 1e6) / joins;
const deliveriesPerSecond = (result) => result.deliveries / result.seconds;
const cpuPerDelivery = (result) => (sum(gateways(result), (gateway) => gateway.publishing) * 1e6) / result.deliveries;
/** Seconds of the gateways. */
export const cpuPerMessage = (result) => sum(gateways(result), (gateway) => gateway.publishing) / result.published;
const redisPerMessage = ({ processes, published }) =>
    (processes.find(({ name }) => name === "redis").publishing * 1e6) / published;

const manyRooms = ["--rooms", 100, "--members", 10, "--publishers", 10];
const paced = (title, options) => ({
    load: manyRooms,
    ...options,
    rows: [
        [`${title}: p50`, "µs", (result) => result.latency.p50],
        [`${title}: p99`, "µs", (result) => result.latency.p99],
        [`${title}: CPU per delivery`, "µs", cpuPerDelivery],
    ],
});

/**
 * By name, in the order of the table. `load` is what the load generator is told; `rows` are name, unit and value of
 * each row; `nodes` how many gateways there are; `without` who cannot take part; with `spreads` there is first one event
 * loop on one core, of which the result is `alone`, then one on each of two.
 */
export const workloads = {
    W1: {
        what: "one room of 1,000, one of whom publishes with 64 messages under way",
        load: ["--rooms", 1, "--members", 1000, "--window", 64],
        rows: [
            ["W1: deliveries", "/s", deliveriesPerSecond],
            ["W1: CPU per delivery", "µs", cpuPerDelivery],
        ],
    },
    W2: {
        what: "100 rooms of 10, who all publish with 4 messages under way each",
        load: [...manyRooms, "--window", 4],
        rows: [
            ["W2: deliveries", "/s", deliveriesPerSecond],
            ["W2: CPU per delivery", "µs", cpuPerDelivery],
            ["W2: CPU of Redis per message", "µs", redisPerMessage],
        ],
    },
    loops: {
        what: "W2 with one event loop, and with two on two cores, which the load generator and Redis use, too: by CPU",
        load: [...manyRooms, "--window", 4],
        spreads: true,
        without: ["floor", "coalesced", "node", "nchan"],
        rows: [
            ["what two event loops carry, of one", "times",
                (result) => (2 * cpuPerDelivery(result.alone)) / cpuPerDelivery(result)],
        ],
    },
    paced: {
        what: "100 rooms of 10, 4,000 messages a second in all, whatever comes back",
        ...paced("4,000 messages/s", { rate: () => 4000 }),
    },
    share: {
        what: "the same, at 40 % of the messages a second that the C floor has processor time for (--share)",
        ...paced("40 % load", { rate: ({ floorMessagesPerSecond, share }) => floorMessagesPerSecond * share }),
    },
    idle: {
        what: "10,000 clients (--clients) in rooms of 10, who say nothing for 3 seconds",
        load: ({ clients }) => ["--rooms", clients / 10, "--members", 10, "--idle", 3],
        rows: [
            ["memory per idle client", "bytes",
                (result) => sum(gateways(result), ({ bytes }) => bytes.joined - bytes.start) / result.clients],
            ["CPU per connect and join", "µs",
                (result) => cpuPerJoin(result, result.clients, ({ connecting, joining }) => connecting + joining)],
            ["CPU while 10,000 are idle", "%",
                (result) => (sum(gateways(result), ({ idling }) => idling) * 100) / result.idleSeconds],
        ],
    },
    rooms: {
        what: "10,000 clients (--clients), each alone in 10 rooms; the subscriptions are cut, and made again",
        load: ({ clients }) => ["--rooms", clients, "--members", 1, "--rooms-each", 10, "--idle", 6],
        cutsSubscriptions: true,
        without: ["coalesced", "nchan"],
        rows: [
            ["memory per room", "bytes",
                (result) => sum(gateways(result), ({ bytes }) => bytes.joined - bytes.open) / (result.clients * 10)],
            ["CPU per join", "µs",
                (result) => cpuPerJoin(result, result.clients * 10, ({ joining }) => joining)],
            ["100,000 rooms subscribed again", "s", (result) => result.subscribedAgain],
        ],
    },
    nodes: {
        what: "two gateways, 100 rooms of 10, 200 messages a second; against PUBLISH to SUBSCRIBE of Redis itself",
        load: [...manyRooms, "--rate", 200],
        nodes: 2,
        rows: [
            ["across two gateways: p50", "µs", (result) => result.crossLatency.p50],
            ["… as multiple of Redis itself", "times", (result) => result.crossLatency.p50 / result.redisLatency.p50],
        ],
    },
};
