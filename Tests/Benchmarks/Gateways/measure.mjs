// One measurement: a Redis, one contender's gateways, and the load.

import { join } from "node:path";

import { contenders, startGateway } from "./contenders.mjs";
import { Child, ask, freePort, pause, until } from "./processes.mjs";
import { workloads } from "./workloads.mjs";

/** Runs a workload against a contender, and returns what the load generator found. */
export async function measure(workloadName, contenderName, plan) {
    const workload = workloads[workloadName];
    const [gatewayCore, otherCore] = plan.cores;
    if (!workload.spreads) return measureOn([gatewayCore], otherCore, workload, contenderName, plan);
    const alone = await measureOn([gatewayCore], otherCore, workload, contenderName, plan);
    return { ...(await measureOn([gatewayCore, otherCore], otherCore, workload, contenderName, plan)), alone };
}

async function measureOn(gatewayCores, otherCore, workload, contenderName, plan) {
    const redisPort = await freePort();
    const children = [];
    try {
        const redis = new Child("redis-server", otherCore, [
            "redis-server", "--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", plan.scratch,
        ]);
        children.push(redis);
        await until(redis, async () => (await ask(redisPort, "PING\r\n"))?.startsWith("+PONG"));
        const places = [];
        for (let index = 1; index <= (workload.nodes ?? 1); index++) {
            const place = await startGateway(contenderName, index, gatewayCores, { ...plan, redis: redisPort });
            children.push(place.gateway);
            places.push(place);
        }
        const rate = workload.rate?.(plan);
        // At full load the generator never sleeps: niced, it leaves the core to Redis whenever that has something to do.
        // At a rate it sleeps, and must see in time what comes.
        const load = new Child("the load generator", otherCore, [
            join(plan.tools, "load"), ...contenders[contenderName].clients,
            ...(typeof workload.load === "function" ? workload.load(plan) : workload.load),
            ...(rate ? ["--rate", rate] : []),
            "--duration", plan.duration, "--watch", `redis=${redis.id}`,
            ...places.flatMap(({ gateway, port }) => ["--target", port, "--watch", `gateway=${gateway.id}`]),
        ], { nice: rate ? 0 : 19 });
        children.push(load);
        const isToBeCut = workload.cutsSubscriptions && contenders[contenderName].reconnects;
        const again = isToBeCut ? cutSubscriptions(load, redisPort) : null;
        const result = JSON.parse(await load.printed(120));
        for (const { gateway } of places) gateway.check();
        if (again) result.subscribedAgain = await again;
        if (workload.nodes) {
            const latency = new Child("redis-latency", otherCore, [
                join(plan.tools, "redis-latency"), redisPort, 200, plan.duration, 128,
            ]);
            children.push(latency);
            result.redisLatency = JSON.parse(await latency.printed(60)).latency;
        }
        return result;
    } finally {
        await Promise.all(children.reverse().map((child) => child.end()));
    }
}

/** When all have joined: cuts what hears publications. Returns the seconds until Redis has as many subscriptions again. */
async function cutSubscriptions(load, redisPort) {
    await new Promise((resolve) => (load.hears = (line) => line.includes("joined") && resolve()));
    const count = async () => {
        const statistics = (await ask(redisPort, "INFO stats\r\n")) ?? "";
        return Number(statistics.match(/pubsub_channels:(\d+)/)?.[1] ?? 0);
    };
    const before = await count();
    const from = performance.now();
    await ask(redisPort, "CLIENT KILL TYPE pubsub\r\n");
    while ((await count()) < before) {
        load.check();
        await pause(0.01);
    }
    return (performance.now() - from) / 1000;
}
