// What was measured, as one table in Markdown.

import { contenders } from "./contenders.mjs";
import { workloads } from "./workloads.mjs";

/** Of the numbers among them; of none NaN. */
export function median(values) {
    const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three digits that mean something. */
function digits(value) {
    if (value >= 100) return Math.round(value).toLocaleString("en");
    return String(Number(value.toPrecision(value >= 10 ? 3 : 2)));
}

function withUnit(value, unit) {
    if (unit === "/s" && value >= 1e6) return `${digits(value / 1e6)} M/s`;
    if (unit === "/s" && value >= 1e4) return `${digits(value / 1e3)} k/s`;
    if (unit === "bytes" && value >= 1000) return `${digits(value / 1000)} kB`;
    if (unit === "µs" && value >= 10_000) return `${digits(value / 1000)} ms`;
    if (unit === "times") return `${digits(value)} ×`;
    return `${digits(value)} ${unit}`;
}

/** The ratio to the floor in the same round: its median, and the least and greatest. */
function ratio(own, floor) {
    const ratios = own.map((value, round) => value / floor[round]).filter(Number.isFinite);
    if (ratios.length === 0) return "";
    const spread = ratios.length > 1 ? ` (${digits(Math.min(...ratios))}–${digits(Math.max(...ratios))})` : "";
    return `, × ${digits(median(ratios))}${spread}`;
}

/** `samples[workload][contender]` is a list of results, one of each round. */
export function table(samples) {
    const names = Object.keys(contenders).filter((name) => Object.values(samples).some((results) => results[name]));
    const lines = [
        ["", ...names.map((name) => contenders[name].title)],
        names.map(() => "---").concat("---"),
    ];
    for (const [workload, results] of Object.entries(samples)) {
        for (const [title, unit, value] of workloads[workload].rows) {
            const valuesOf = (name) => (results[name] ?? []).map((result) => (result.failure ? NaN : value(result)));
            const floor = valuesOf("floor");
            const cells = names.map((name) => {
                const values = valuesOf(name);
                if (!values.some(Number.isFinite)) return "–";
                const isAbsolute = name === "floor" || unit === "times" || unit === "%";
                return withUnit(median(values), unit) + (isAbsolute ? "" : ratio(values, floor));
            });
            lines.push([title, ...cells]);
        }
    }
    return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** What failed, and what was not delivered exactly once and in order. */
export function faults(samples) {
    const found = [];
    for (const [workload, results] of Object.entries(samples)) {
        for (const [name, list] of Object.entries(results)) {
            for (const { failure } of list) {
                if (failure) found.push({ name, text: `${contenders[name].title}, ${workload}: ${failure}` });
            }
            for (const fault of ["missing", "duplicated", "reordered", "misrouted"]) {
                const count = list.reduce((total, result) => total + (result[fault] ?? 0), 0);
                if (count > 0) found.push({ name, text: `${contenders[name].title}, ${workload}: ${count} ${fault}` });
            }
        }
    }
    return found;
}
