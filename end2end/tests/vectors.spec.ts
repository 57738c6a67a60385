import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { expect, test } from '@playwright/test';
import { site } from '../support/server.js';

// Made by `rly-build-web --vectors` as what is served is made, but served by nobody else.
const built = path.resolve(site, '../web/vectors');
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
/** When the KeyPackages in the vectors of RFC 9420 were good. */
const THEN = new Date('2024-01-01T00:00:00Z');

interface Report {
  name: string;
  expected: number;
  ran: number;
  failed: string[];
}

/** How many sets there have to be; how many checks each has, it says itself. */
const SETS = { in_wasm: 27, on_webcrypto: 9 };

for (const [runner, sets] of Object.entries(SETS)) {
  test(`test vectors: ${runner}`, async ({ page }) => {
    test.setTimeout(240_000);
    const server = await serve();
    try {
      await page.clock.setFixedTime(THEN);
      await page.goto(server.url);
      const json = await page.evaluate(async (runner) => {
        const name: string = '/vectors.js';
        const module = await import(name);
        await module.default({ module_or_path: '/vectors.wasm' });
        return (await module[runner]()) as string;
      }, runner);
      const reports = JSON.parse(json) as Report[];
      for (const { name, ran } of reports) console.log(`${String(ran).padStart(6)}  ${name}`);
      const total = reports.reduce((sum, { ran }) => sum + ran, 0);
      console.log(`${String(total).padStart(6)}  checks ${runner.replace('_', ' ')}`);
      expect(reports.filter(({ failed }) => failed.length > 0)).toEqual([]);
      expect(reports.filter(({ ran, expected }) => ran !== expected)).toEqual([]);
      expect(reports).toHaveLength(sets);
    } finally {
      server.close();
    }
  });
}

/** An empty page, and the module. On loopback, so that there is WebCrypto. */
async function serve(): Promise<{ url: string; close: () => void }> {
  if (!existsSync(built)) throw new Error(`${built} is missing: run ./test e2e, which builds it first`);
  const files: Record<string, [string, () => Promise<Buffer>]> = {
    '/': ['text/html', async () => Buffer.from('<!doctype html><title>vectors</title>')],
    '/vectors.js': ['text/javascript', () => readFile(path.join(built, 'vectors.js'))],
    '/vectors.wasm': ['application/wasm', () => readFile(path.join(built, 'vectors.wasm'))],
  };
  const server = createServer(async (request, response) => {
    const [type, body] = files[request.url ?? ''] ?? [];
    if (!type || !body) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': type, 'content-security-policy': CSP }).end(await body());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}/`, close: () => server.close() };
}
