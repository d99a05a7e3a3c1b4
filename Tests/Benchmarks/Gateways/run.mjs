// Lets the contenders take turns at each workload, and prints the table. deploy/bench starts it and has its options.

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { contenders } from "./contenders.mjs";
import { measure } from "./measure.mjs";
import { cores } from "./processes.mjs";
import { faults, median, table } from "./table.mjs";
import { cpuPerMessage, workloads } from "./workloads.mjs";

function refuse(message) {
    console.error(`deploy/bench: ${message}`);
    process.exit(64);
}

function number(name, text, least) {
    const value = Number(text);
    if (!(value >= least)) refuse(`--${name} must be a number from ${least}, not '${text}'`);
    return value;
}

function chosen(name, text, all) {
    const names = text ? text.split(",") : Object.keys(all);
    for (const wanted of names) {
        if (!all[wanted]) refuse(`--${name}: there is no '${wanted}', only ${Object.keys(all).join(", ")}`);
    }
    return Object.keys(all).filter((known) => names.includes(known));
}

function readPlan() {
    let values;
    try {
        const text = { type: "string" };
        values = parseArgs({
            options: {
                only: text, against: text, rounds: text, duration: text, share: text, clients: text, json: text,
                table: { type: "string", multiple: true }, executable: text, tools: text, scratch: text,
            },
        }).values;
    } catch (error) {
        refuse(error.message);
    }
    return {
        only: chosen("only", values.only, workloads),
        against: chosen("against", values.against, contenders),
        rounds: number("rounds", values.rounds ?? "3", 1),
        duration: number("duration", values.duration ?? "3", 0.5),
        share: number("share", values.share ?? "0.4", 0.01),
        clients: Math.ceil(number("clients", values.clients ?? "10000", 10) / 10) * 10,
        json: values.json, table: values.table,
        executable: values.executable, tools: values.tools, scratch: values.scratch,
    };
}

/**
 * The floor's own limit where messages come one by one, that --share is a share of: by the processor time that they take.
 * At W2's limit they come by the dozen, which costs the kernel half as much for each.
 */
async function floorMessagesPerSecond(samples, plan) {
    const results = samples.paced?.floor ?? [await measure("paced", "floor", plan)];
    return median(results.map((result) => 1 / cpuPerMessage(result)));
}

async function runAll(plan) {
    const samples = {};
    for (const workload of plan.only) {
        samples[workload] = {};
        if (workload === "share") plan.floorMessagesPerSecond = await floorMessagesPerSecond(samples, plan);
        const names = Object.keys(contenders).filter((name) => {
            const isWanted = plan.against.includes(name) || name === "floor";
            return isWanted && !workloads[workload].without?.includes(name);
        });
        for (let round = 0; round < plan.rounds; round++) {
            for (let turn = 0; turn < names.length; turn++) {
                const name = names[(turn + round) % names.length];
                console.error(`${workload}, round ${round + 1} of ${plan.rounds}: ${contenders[name].title}`);
                // What fails once says nothing of the rest, and must not cost it.
                const result = await measure(workload, name, plan).catch((error) => ({ failure: error.message }));
                if (result.failure) console.error(`deploy/bench: ${result.failure}`);
                (samples[workload][name] ??= []).push(result);
            }
        }
    }
    return samples;
}

function report(samples) {
    console.log(table(samples));
    console.log();
    for (const name of Object.keys(samples)) console.log(`${name}: ${workloads[name].what}.`);
    const found = faults(samples);
    for (const { text } of found) console.log(`FAILED: ${text}`);
    // What others lose is told; what we lose is a failure.
    process.exitCode = found.some(({ name }) => name === "roost") ? 1 : 0;
}

const plan = readPlan();
if (plan.table) {
    report(Object.assign({}, ...plan.table.map((file) => JSON.parse(readFileSync(file, "utf8")).samples)));
} else {
    plan.cores = cores();
    if (plan.cores.length < 2) refuse("two processors are needed, one of them for the gateway alone");
    const samples = await runAll(plan).catch((error) => {
        console.error(`deploy/bench: ${error.message}`);
        process.exit(1);
    });
    if (plan.json) {
        const { only, against, rounds, duration, share, clients } = plan;
        const at = new Date().toISOString();
        const conditions = { only, against, rounds, duration, share, clients, payload: 128, at };
        writeFileSync(plan.json, `${JSON.stringify({ conditions, samples })}\n`);
    }
    report(samples);
}
