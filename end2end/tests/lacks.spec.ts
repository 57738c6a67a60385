import { expect, meet, test } from '../support/fixtures.js';
import { expectAccessible, expectFits } from '../support/looks.js';
import type { Person } from '../support/person.js';

const NARROW = { width: 320, height: 640 };

/** Nothing of the server's API was asked. */
async function expectUntouched(person: Person, link: string, words: RegExp): Promise<void> {
  const calls: string[] = [];
  person.context.on('request', (request) => {
    if (request.url().includes('/api/')) calls.push(request.url());
  });
  await person.page.goto(link);
  await expect(person.alert).toContainText(words);
  await expectAccessible(person.page, String(words));
  await expectFits(person.page, String(words));
  const open = person.button('Open');
  if (await open.count()) await expect(open).toBeDisabled();
  expect(calls).toEqual([]);
}

test('a browser without WebAssembly is told, and the link stays good', async ({ person, alice, bob }) => {
  const link = await alice.writeLetter('read me elsewhere');
  const dora = await person('Dora', { viewport: NARROW });
  await dora.context.addInitScript('delete globalThis.WebAssembly');
  await expectUntouched(dora, link, /WebAssembly/);
  await bob.openLink(link);
  await expect(bob.letter).toContainText('read me elsewhere');
});

test('a browser that is too old is told, and the link stays good', async ({ person, alice, bob }) => {
  const link = await alice.writeLetter('read me elsewhere');
  const dora = await person('Dora', { viewport: NARROW });
  await dora.context.addInitScript('Object.defineProperty(Navigator.prototype, "locks", { get: () => undefined })');
  await expectUntouched(dora, link, /too old/);
  await bob.openLink(link);
  await expect(bob.letter).toContainText('read me elsewhere');
});

test('a page that came without https is told that it cannot encrypt', async ({ startServer, person, playwright, launchOptions }) => {
  // A name that is no loopback address: only its resolution leads here.
  const origin = 'http://rly.test';
  const server = await startServer({ RLY_PUBLIC_URL: origin });
  const launch = (...args: string[]) =>
    playwright.chromium.launch({
      ...launchOptions,
      args: [...(launchOptions.args ?? []), `--host-resolver-rules=MAP rly.test:80 127.0.0.1:${server.port}`, ...args],
    });
  const [trusting, usual] = await Promise.all([launch(`--unsafely-treat-insecure-origin-as-secure=${origin}`), launch()]);
  const alice = await person('Alice', { on: server, using: trusting });
  await alice.page.goto(`${origin}/letter`);
  await alice.ready();
  await alice.textbox('Letter').fill('read me elsewhere');
  await alice.fillName();
  await alice.button('Create link').click();
  const link = await alice.shownLink();

  const dora = await person('Dora', { on: server, using: usual, viewport: NARROW });
  dora.watch.expectConsole(/^The Cross-Origin-Opener-Policy header has been ignored, because the URL's origin was untrustworthy/);
  await expectUntouched(dora, link, /https:/);
  await dora.page.goto(`${origin}/letter`);
  await expect(dora.alert).toContainText(/https:/);
  await Promise.all([trusting.close(), usual.close()]);
});

/** Overwrites what is stored (the last row of the table of messages; without it, everything), as a failing disk would. */
function damage(messages: number | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open('rly');
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const db = opening.result;
      const transaction = db.transaction('rows', 'readwrite');
      let count = 0;
      transaction.objectStore('rows').openCursor(null, 'prev').onsuccess = (event) => {
        const cursor = (event.target as IDBRequest<IDBCursorWithValue | null>).result;
        if (!cursor) return;
        const table = new Uint8Array(cursor.key as ArrayBuffer)[0];
        if (messages !== undefined && (table !== messages || count > 0)) return cursor.continue();
        const value = new Uint8Array(cursor.value as Uint8Array);
        value[value.length - 1]! ^= 1;
        cursor.update(value);
        count += 1;
        cursor.continue();
      };
      transaction.onerror = () => reject(transaction.error);
      transaction.oncomplete = () => {
        db.close();
        resolve(count);
      };
    };
  });
}

test('damaged storage is said, left as it is, and can be deleted to begin again', async ({ person, bob }) => {
  const alice = await person('Alice', { viewport: NARROW });
  await meet(alice, bob);
  const file = await alice.exportSim();
  expect(await alice.page.evaluate(damage, undefined)).toBeGreaterThan(0);
  await alice.goto('/chat');
  await expect(alice.alert).toContainText(/damaged/);
  await expectAccessible(alice.page, 'damaged');
  await expectFits(alice.page, 'damaged');
  await alice.alert.getByRole('link', { name: 'Settings', exact: true }).click();
  await alice.button('Delete everything in this browser').click();
  await alice.confirm();
  await expect(alice.alert).toHaveCount(0);
  await alice.importSim(file);
  await alice.openConversation('Bob');
  await alice.say('I am back');
  await bob.hears('I am back');
});

test('one damaged message is said in its place, and the conversation goes on', async ({ alice, bob }) => {
  await meet(alice, bob);
  await alice.say('will be damaged');
  await bob.hears('will be damaged');
  await alice.expectState('will be damaged', 'delivered');
  expect(await alice.page.evaluate(damage, 7)).toBe(1);
  await alice.reload();
  await expect(alice.message('a reply from Bob')).toBeVisible();
  await expect(alice.log.getByText(/message is damaged/)).toBeVisible();
  await expect(alice.message('will be damaged')).toHaveCount(0);
  await expect(alice.alert).toHaveCount(0);
  await alice.say('and on');
  await bob.hears('and on');
});

test('storage that a newer version wrote is left alone', async ({ person, bob }) => {
  const alice = await person('Alice', { viewport: NARROW });
  await meet(alice, bob);
  // A page that does not hold the database open.
  await alice.goto('/');
  await alice.page.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const opening = indexedDB.open('rly', 99);
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          opening.result.close();
          resolve();
        };
      }),
  );
  await alice.goto('/chat');
  await expect(alice.alert).toContainText(/newer version/);
  await expect(alice.button('Reload')).toBeVisible();
  await expectAccessible(alice.page, 'newer');
  await expectFits(alice.page, 'newer');
});

test('a SIM whose vault is out of reach says what it waits for', async ({ person, alice, bob, server }) => {
  await meet(alice, bob);
  const file = await alice.exportSim();
  await alice.closeTabs();
  const next = await person('Alice', { viewport: NARROW });
  await next.openImport();
  // The messenger is there once it has found something to complain about.
  await next.textbox('Or paste its text').fill('no SIM');
  await next.button('Import SIM').click();
  await expect(next.alert).toBeVisible();
  for (const somebody of [next, bob]) somebody.watch.expectOutage();
  await server.kill9();
  await next.tryImport(file);
  await expect(next.page.getByText('Fetching your contacts …')).toBeVisible();
  await expectAccessible(next.page, 'restoring');
  await expectFits(next.page, 'restoring');
  await server.run();
  await next.openConversation('Bob');
  await next.say('found you again');
  await bob.hears('found you again');
});

test('where the system can share, the link goes to it', async ({ person }) => {
  const alice = await person('Alice', { viewport: NARROW });
  // Headless Chromium has no share sheet; what is handed to it is what counts.
  await alice.context.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, 'share', {
      configurable: true,
      value: async (data: ShareData) => {
        document.documentElement.dataset['shared'] = data.url ?? data.text ?? '';
      },
    });
  });
  const link = await alice.writeLetter('a letter to share');
  await alice.button('Share …').click();
  await expect(alice.page.locator('html')).toHaveAttribute('data-shared', link);
});
