import { expect, test } from '@playwright/test';
import { serveVectors } from '../support/vectors.js';

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
    const server = await serveVectors();
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
