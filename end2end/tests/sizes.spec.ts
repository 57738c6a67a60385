import type { Request } from '@playwright/test';
import { expect, test } from '../support/fixtures.js';

/** What may be loaded until a letter's page can be used, in bytes as sent; see scripts/sizes.mjs. */
const MARK = 220_000;

for (const path of ['/letter', '/i']) {
  test(`a browser loads no more than promised until ${path} can be used`, async ({ alice }) => {
    const finished: Request[] = [];
    alice.page.on('requestfinished', (request) => finished.push(request));
    await alice.goto(path);
    const loaded = await Promise.all(
      finished.map(async (request) => {
        const { responseBodySize } = await request.sizes();
        return { path: new URL(request.url()).pathname, bytes: responseBodySize };
      }),
    );
    // The worker is started once the page can be used, the messenger's pages come after its first word,
    // and both may be quick.
    const needed = loaded.filter((file) => !/^\/assets\/(worker|messenger)\./.test(file.path));
    const said = needed.map((file) => `${file.path} ${file.bytes}`).join('\n');
    expect(said).toContain('/assets/app.');
    expect(said).toContain('.wasm');
    const sum = needed.reduce((total, file) => total + file.bytes, 0);
    expect(sum, said).toBeLessThanOrEqual(MARK);
  });
}
