// Checks what a browser has to load against what was promised: node scripts/sizes.mjs SITE
// Reads the manifests that the build wrote. kB are 1,000 bytes, as sent in brotli.
import { readFileSync } from "node:fs";
import path from "node:path";

const read = (name) =>
  JSON.parse(readFileSync(path.join(process.argv[2], name), "utf8"));
const { files } = read("manifest.json");
const { answers } = read("served.json");
const sent = (at) => answers[at].encodings.br.bytes;
const file = (name) => [name, sent(files[name].path)];
const sum = (parts) => parts.reduce((total, [, bytes]) => total + bytes, 0);

const page = (at, module = "app") => [
  [at, sent(at)],
  ...["style.css", "boot.js", `${module}.js`, `${module}.wasm`].map(file),
  ...["favicon.svg", "manifest.webmanifest"].map(file),
];
const budgets = [
  ["Letter page", 208_000, page("/letter")],
  ["Link page", 208_000, page("/i")],
  [
    "Messenger, worker included",
    649_500,
    [...page("/chat"), ...["messenger.wasm", "worker.js", "worker.wasm"].map(file)],
  ],
  [
    "Room, worker included",
    365_000,
    [...page("/r", "rooms"), ...["room-worker.js", "room-worker.wasm"].map(file)],
  ],
];

let kept = true;
for (const [name, budget, parts] of budgets) {
  const total = sum(parts);
  const list = parts.map(([part, bytes]) => `${part} ${bytes}`).join(", ");
  const verdict = total <= budget ? "within" : "OVER";
  console.log(`${name}: ${total} bytes, ${verdict} ${budget} (${list})`);
  kept &&= total <= budget;
}
process.exitCode = kept ? 0 : 1;
