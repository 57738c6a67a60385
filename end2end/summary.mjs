// Playwright's report for ./test:  node summary.mjs REPORT count FIELDS... | failures
// A sum of its statistics (0 if it was not even written), or which journeys failed and where they stood.
import { readFileSync } from "node:fs";

const [file, what, ...fields] = process.argv.slice(2);
let report = { stats: {}, suites: [] };
try {
	report = JSON.parse(readFileSync(file, "utf8"));
} catch {
	if (what === "failures") console.log("No report of the journeys was written");
}

const LINES = 30;
const plain = (text) =>
	(text ?? "")
		.replace(/\x1b\[[0-9;]*m/g, "")
		.split("\n")
		.slice(0, LINES)
		.join("\n");

function tell(suite) {
	for (const { file, line, title, tests } of suite.specs ?? []) {
		const bad = tests.filter((test) => test.status === "unexpected" || test.status === "flaky");
		if (bad.length === 0) continue;
		console.log(`${file}:${line} ${title}`);
		for (const { message, snippet } of bad.flatMap((test) => test.results).flatMap((result) => result.errors))
			console.log(plain(message), plain(snippet));
	}
	(suite.suites ?? []).forEach(tell);
}

if (what === "count") console.log(fields.reduce((sum, field) => sum + (report.stats[field] ?? 0), 0));
else report.suites.forEach(tell);
