// Counts instructions and allocations of the microbenchmarks by callgrind, and holds them against baseline.json.
// deploy/bench --check and --record start it.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const here = new URL(".", import.meta.url).pathname;
const baselineFile = join(here, "baseline.json");
/** A count may grow by so much. */
const tolerance = 0.1;
/** `countedPart` in Microbenchmarks.swift, as the linker knows it. */
const countedPart = "$s15Microbenchmarks11countedPartyyyyXEF";
const allocators = new Set(["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"]);

function run(command, ...line) {
    return execFileSync(command, line, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 1 << 28 });
}

/** What callgrind found in one counted part. */
function readDump(file) {
    let allocations = 0;
    let instructions = 0;
    let callee;
    for (const line of readFileSync(file, "utf8").split("\n")) {
        if (line.startsWith("cfn=")) callee = line.slice(4);
        else if (line.startsWith("calls=") && allocators.has(callee)) allocations += Number.parseInt(line.slice(6), 10);
        else if (line.startsWith("summary:")) instructions = Number(line.split(" ")[1]);
    }
    return { instructions, allocations };
}

/** Counts by name, for one operation. */
function count(executable) {
    const scratch = mkdtempSync(join(tmpdir(), "roost-counts."));
    try {
        // valgrind does not read the debugging information of Swift.
        const program = join(scratch, "Microbenchmarks");
        copyFileSync(executable, program);
        run("strip", "-g", program);
        const printed = run(
            "valgrind", "-q", "--tool=callgrind", "--compress-strings=no", `--callgrind-out-file=${scratch}/dump`,
            `--zero-before=${countedPart}`, `--dump-after=${countedPart}`, program);
        const names = printed.trim().split("\n").map((line) => line.match(/^(\d+) (.*)$/));
        const dumps = readdirSync(scratch).filter((name) => /^dump\.\d+$/.test(name));
        dumps.sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)));
        if (dumps.length !== names.length) throw new Error(`${dumps.length} parts of ${names.length} were counted`);
        return Object.fromEntries(names.map(([, operations, name], index) => {
            const { instructions, allocations } = readDump(join(scratch, dumps[index]));
            return [name, {
                instructions: Number((instructions / operations).toFixed(1)),
                allocations: Number((allocations / operations).toFixed(3)),
            }];
        }));
    } finally {
        rmSync(scratch, { recursive: true });
    }
}

/** Counts are comparable only between programs of one compiler for one kind of processor. */
function toolchain() {
    const version = run("swift", "--version").match(/Swift version (\S+)/)[1];
    return { swift: version, architecture: process.arch };
}

/** Prints one line for each count, and returns those that have grown too much. */
function compare(counts, baseline) {
    const grown = [];
    for (const [name, own] of Object.entries(counts)) {
        for (const [what, value] of Object.entries(own)) {
            const before = baseline[name]?.[what];
            const change = before > 0 ? `${(100 * (value / before - 1)).toFixed(1)} %` : "";
            const label = `${name}: ${what}`;
            const columns = [String(value), String(before ?? "new"), change].map((text) => text.padStart(10));
            console.log(label.padEnd(72), ...columns);
            // What was nothing, or nearly, may not become something either.
            if (before === undefined || value > before * (1 + tolerance) + 0.01) grown.push(label);
        }
    }
    const gone = Object.keys(baseline).filter((name) => !counts[name]);
    return grown.concat(gone.map((name) => `${name}: is not counted any more`));
}

const counts = count(run(join(here, "../../../deploy/build"), "Microbenchmarks").trim());
if (process.argv[2] === "--record") {
    writeFileSync(baselineFile, `${JSON.stringify({ toolchain: toolchain(), counts }, null, 2)}\n`);
    console.log(readFileSync(baselineFile, "utf8"));
} else {
    if (!existsSync(baselineFile)) throw new Error(`there is no ${baselineFile}`);
    const baseline = JSON.parse(readFileSync(baselineFile, "utf8"));
    const grown = compare(counts, baseline.counts);
    const own = JSON.stringify(toolchain());
    if (own !== JSON.stringify(baseline.toolchain)) {
        console.log(`The baseline is of ${JSON.stringify(baseline.toolchain)}, this is of ${own}: nothing is judged.`);
    } else if (grown.length > 0) {
        console.log(`Grown by more than ${tolerance * 100} %, or new:\n  ${grown.join("\n  ")}`);
        console.log("If that is as it must be: deploy/bench --record, and say in the commit why.");
        process.exitCode = 1;
    }
}
