import { mkdir, writeFile } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import { Echo } from '../support/echo.js';
import { chatter, delivered } from '../support/crowd.js';
import { meet, test } from '../support/fixtures.js';
import type { Person } from '../support/person.js';
import { startProfile, stopProfile } from '../support/cpu.js';
import { serveVectors } from '../support/vectors.js';
import { acted, longTasks, longestFrame, record, seen, started, watchFrames } from '../support/recorder.js';
import { type Measured, table } from '../support/table.js';

// Nothing here fails for being slow: it measures, and says what is met.
test.describe.configure({ mode: 'default' });
test.setTimeout(900_000);

const RUNS = 9;
const MESSAGES = 200;
/** In the long conversation, unless making them takes longer than `PATIENCE`. */
const LONG = Number(process.env.RLY_MARKS_MESSAGES ?? 10_000);
const PATIENCE = Number(process.env.RLY_MARKS_PATIENCE ?? 600) * 1000;

const rows: Measured[] = [];
const tasks: number[] = [];
/** Messages for each profile. */
const PROFILED = 100;

test.afterAll(async () => {
  rows.push({ what: 'longest task of a page’s thread', values: [Math.max(0, ...tasks)], mark: 50 });
  const text = table(rows);
  await mkdir('test-results', { recursive: true });
  await writeFile('test-results/marks.md', `${text}\n`);
  console.log(`\n${text}\n`);
});

test('from a link to a reply', async ({ alice, person }) => {
  const empty: number[] = [];
  const usable: number[] = [];
  const readable: number[] = [];
  const letterBytes: number[] = [];
  const allBytes: number[] = [];
  const replied: number[] = [];
  const repliedAtOnce: number[] = [];
  const echo = await Echo.start();
  for (let run = 0; run < RUNS; run += 1) {
    const link = await alice.writeLetter(`letter ${run}`);
    // With a browser that has never been here: nothing is cached, there is no SIM.
    const bob = await person(`Bob ${run}`);
    await record(bob.context);

    await bob.context.addInitScript(() => globalThis.recorder.watch('empty', 'main'));
    await bob.page.goto(echo.url);
    empty.push((await seen(bob.page, 'empty')) - (await started(bob.page)));

    await bob.context.addInitScript(() => {
      globalThis.recorder.click('usable', 'html[data-hydrated="true"] main button:enabled');
      globalThis.recorder.watch('readable', 'article[aria-label="Letter"]');
    });
    await bob.page.goto(link);
    const from = await started(bob.page);
    usable.push((await seen(bob.page, 'usable')) - from);
    const read = await seen(bob.page, 'readable');
    readable.push(read - from);
    letterBytes.push((await bob.page.evaluate(filesUntil, read)) / 1000);

    await bob.textbox('Reply').fill('a reply');
    await bob.fillName();
    // Nobody writes a reply before the messenger is there. Every other one is sent at once, for comparison.
    const atOnce = run % 2 === 1;
    if (!atOnce) await messengerLoaded(bob.page);
    await watchSent(bob.page, 'a reply');
    await bob.button('Send reply').click();
    const sent = await seen(bob.page, 'sent');
    (atOnce ? repliedAtOnce : replied).push(sent - (await acted(bob.page)));
    allBytes.push((await allBytesOf(bob)) / 1000);
    tasks.push(...(await longTasks(bob.page)));
    await bob.context.close();
  }
  echo.close();
  rows.push(
    { what: 'an empty page, for comparison', values: empty },
    { what: 'link opened, cold: can be opened', values: usable },
    { what: 'link opened, cold, and Open clicked at once: letter readable', values: readable, mark: 1000 },
    { what: 'loaded until the letter is readable', values: letterBytes, mark: 220, unit: 'kB' },
    { what: 'page and worker together', values: allBytes, mark: 650, unit: 'kB' },
    { what: 'reply sent after the click, SIM made', values: replied, mark: 300 },
    { what: 'the same, clicked before the messenger was loaded', values: repliedAtOnce },
  );
});

test('from one browser to the other', async ({ alice, bob }) => {
  const echo = await Echo.start();
  for (const { context } of [alice, bob]) await record(context);
  for (const { page } of [alice, bob]) await page.goto(echo.url);
  const plain: number[] = [];
  for (let n = 1; n <= MESSAGES / 2; n += 1) {
    plain.push(await pass(alice.page, bob.page, String(n)));
  }
  const stored = await alice.page.evaluate(storeStrictly, MESSAGES / 2);
  echo.close();

  await meet(alice, bob);
  const shown: number[] = [];
  for (let n = 1; n <= MESSAGES; n += 1) {
    const [from, to] = n % 2 ? [alice, bob] : [bob, alice];
    await from.textbox('Message').fill(`message ${n}`);
    shown.push(await pass(from.page, to.page, `message ${n}`));
  }
  tasks.push(...(await longTasks(alice.page)), ...(await longTasks(bob.page)));
  rows.push(
    { what: 'from one page to another through a bare websocket, for comparison', values: plain },
    { what: 'the browser stores 4 kB durably, for comparison: each of the two does so once', values: stored },
    { what: 'message shown in the other browser', values: shown, mark: 30 },
  );
});

test('what a message costs in wasm', async ({ alice, bob, browser }) => {
  await meet(alice, bob);
  for (const { context } of [alice, bob]) await record(context);
  for (const person of [alice, bob]) await person.reload();
  const pages = [alice.page, bob.page] as const;
  const talk = async (from: number, to: number) => {
    for (let n = from; n < to; n += 1) {
      const [writer, reader] = n % 2 ? pages : pages.toReversed();
      await writer!.getByRole('textbox', { name: 'Message', exact: true }).fill(`message ${n}`);
      await pass(writer!, reader!, `message ${n}`);
    }
  };
  // Code that has run a while is faster code.
  await talk(0, PROFILED);
  const each: number[] = [];
  for (let run = 0; run < 2; run += 1) {
    await startProfile(browser);
    await talk(PROFILED * (run + 1), PROFILED * (run + 2));
    const spent = [...(await stopProfile(browser))].toSorted(([, one], [, other]) => other - one);
    console.log(spent.slice(0, 12).map(([place, took]) => `${(took / PROFILED).toFixed(2)} ms ${place}`).join('\n'));
    const inside = spent.filter(([place]) => /^worker.*wasm/.test(place));
    each.push(inside.reduce((sum, [, took]) => sum + took, 0) / PROFILED);
  }
  rows.push({
    what: 'in the wasm of both messengers for a message',
    values: each,
    note: 'created, sealed, opened, processed, shown, and all of the same for its receipt',
  });
});

test('what MLS costs in wasm', async ({ page }) => {
  const server = await serveVectors();
  await page.goto(server.url);
  const each = await page.evaluate(async (messages) => {
    const name: string = '/vectors.js';
    const module = await import(name);
    await module.default({ module_or_path: '/vectors.wasm' });
    const chat = new module.Chat();
    const took: number[] = [];
    // The first ones are for the compiler: code that has run a while is faster code. Ten at once, since a page's
    // clock is coarse.
    for (let n = 0; n < messages; n += 1) {
      const began = performance.now();
      for (let m = 0; m < 10; m += 1) chat.message();
      if (n >= messages / 2) took.push((performance.now() - began) / 10);
    }
    return took;
  }, MESSAGES);
  server.close();
  rows.push({ what: 'an MLS message created and processed, and what is to be stored of it', values: each, mark: 1 });
});

test('a long conversation', async ({ alice, bob }) => {
  await meet(alice, bob);
  for (const { context } of [alice, bob]) await record(context);
  const conversation = new URL(alice.page.url()).hash.slice(1);
  const conversationOfBob = new URL(bob.page.url()).hash.slice(1);
  // Where no messages are shown.
  for (const person of [alice, bob]) await person.goto('/settings');
  const began = Date.now();
  let made = 0;
  for (; made < LONG && Date.now() - began < PATIENCE; made += 500) {
    const [from, to] = [made / 2, made / 2 + 250];
    await Promise.all([chatter(alice, conversation, from, to), chatter(bob, conversationOfBob, from, to)]);
    await Promise.all([delivered(alice, conversation), delivered(bob, conversationOfBob)]);
  }
  console.log(`${made} messages made in ${((Date.now() - began) / 1000).toFixed(0)} s`);

  const opened: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    await alice.goto('/chat');
    await alice.conversationWith('Bob').waitFor();
    await watchLast(alice.page);
    await alice.conversationWith('Bob').click();
    opened.push((await seen(alice.page, 'last')) - (await acted(alice.page)));
    tasks.push(...(await longTasks(alice.page)));
  }

  const box = (await alice.log.boundingBox())!;
  await alice.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const newest = (await alice.messages.last().textContent())!;
  const up = await scroll(alice.page, -1, 'a letter from Alice');
  const down = await scroll(alice.page, 1, newest);
  tasks.push(...(await longTasks(alice.page)));
  rows.push(
    { what: `${made} messages: opened by a click`, values: opened, mark: 300 },
    { what: `${made} messages: longest frame, scrolling up to the first`, values: [up], mark: 50 },
    { what: `${made} messages: longest frame, scrolling down again`, values: [down], mark: 50 },
  );
});

/** Notes when the newest message of the long conversation is seen. */
function watchLast(page: Page): Promise<void> {
  return page.evaluate(() => globalThis.recorder.watch('last', 'article'));
}

/** Turns the wheel until the message at that end of the conversation is seen; the longest frame meanwhile. */
async function scroll(page: Page, direction: 1 | -1, text: string): Promise<number> {
  await watchFrames(page);
  const there = () =>
    page.evaluate(
      ([direction, text]) => {
        const log = document.querySelector('[role="log"]')!;
        const articles = log.querySelectorAll('article');
        const outermost = articles[direction < 0 ? 0 : articles.length - 1]!;
        const box = outermost.getBoundingClientRect();
        const { top, bottom } = log.getBoundingClientRect();
        return outermost.textContent === text && box.bottom > top && box.top < bottom;
      },
      [direction, text] as const,
    );
  while (!(await there())) {
    for (let n = 0; n < 10; n += 1) await page.mouse.wheel(0, direction * 1200);
  }
  return longestFrame(page);
}

/** Presses Enter in one page: how long until the other one has drawn what comes of it. */
async function pass(from: Page, to: Page, text: string): Promise<number> {
  await to.evaluate((text) => globalThis.recorder.watch(text, 'article', text), text);
  await from.keyboard.press('Enter');
  return (await seen(to, text)) - (await acted(from));
}

function watchSent(page: Page, text: string): Promise<void> {
  const states = ['sent', 'delivered'].map((state) => `article[data-own="true"][data-state="${state}"]`).join();
  return page.evaluate(([states, text]) => globalThis.recorder.watch('sent', states!, text), [states, text]);
}

/** Its pages are fetched after its worker's first word. */
async function messengerLoaded(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    performance.getEntriesByType('resource').some(({ name }) => name.includes('/assets/messenger.')),
  );
}

/**
 * The files that a page or worker has asked for until a moment, in bytes as they went over the wire, without headers:
 * for those a browser says 300 whatever they are. What came from its cache has a size, but none for the transfer, and
 * what the API answered is no file.
 */
function filesUntil(moment: number): number {
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  return (entries as PerformanceResourceTiming[])
    .filter((entry) => performance.timeOrigin + entry.startTime <= moment)
    .filter((entry) => entry.transferSize > 0 && !new URL(entry.name).pathname.startsWith('/api/'))
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0);
}

/** All files that page and worker have loaded. */
async function allBytesOf({ page }: Person): Promise<number> {
  const ever = Number.POSITIVE_INFINITY;
  const inWorkers = page.workers().map((worker) => worker.evaluate(filesUntil, ever));
  const loaded = await Promise.all([page.evaluate(filesUntil, ever), ...inWorkers]);
  return loaded.reduce((sum, bytes) => sum + bytes, 0);
}

/** How long the browser takes to have something on the disk, and nothing else to do. */
async function storeStrictly(times: number): Promise<number[]> {
  const database = await new Promise<IDBDatabase>((resolve) => {
    const opening = indexedDB.open('plain');
    opening.onupgradeneeded = () => opening.result.createObjectStore('rows');
    opening.onsuccess = () => resolve(opening.result);
  });
  const took: number[] = [];
  for (let n = 0; n < times; n += 1) {
    const began = performance.now();
    await new Promise((resolve) => {
      const transaction = database.transaction('rows', 'readwrite', { durability: 'strict' });
      transaction.objectStore('rows').put(crypto.getRandomValues(new Uint8Array(4096)), n);
      transaction.oncomplete = resolve;
    });
    took.push(performance.now() - began);
  }
  return took;
}
