// Says what is wrong in the Dockerfile, where there is no engine to build it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { validate } = createRequire(new URL('../end2end/', import.meta.url))('dockerfile-utils');

const found = validate(readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8'));
for (const { range, message } of found) console.error(`Dockerfile:${range.start.line + 1}: ${message}`);
process.exit(found.length > 0 ? 1 : 0);
