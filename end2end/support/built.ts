import { existsSync } from 'node:fs';
import { serverBinary, site } from './server.js';

/** Says what to build instead of letting every test fail. */
export default function built(): void {
  for (const path of [serverBinary, site]) {
    if (!existsSync(path)) throw new Error(`${path} is missing: run ./test e2e, which builds it first`);
  }
}
