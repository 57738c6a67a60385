// What people type is text wherever it is shown. `RLY_XSS_ALL=1` also writes a letter and imports a
// SIM for each payload; otherwise for some of them.
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Page } from '@playwright/test';
import { expect, meet, test } from '../support/fixtures.js';
import { COUNT, payloads } from '../support/payloads.js';
import type { Person } from '../support/person.js';
import { Guest } from '../support/room.js';

const ALL = payloads();
/** Some of every kind. */
const SOME = process.env.RLY_XSS_ALL ? ALL : ALL.filter((_, n) => n % 31 === 0);

/** A name of somebody else's as it is shown: what misleads is left out, and what is too long. */
function cleaned(name: string): string {
  let kept = '';
  for (const letter of name.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, '')) {
    if (Buffer.byteLength(kept + letter) > 128) break;
    kept += letter;
  }
  return kept.trim();
}

/** From here on script that runs, and every request to another place, is a problem of this person. */
async function guard(person: Person): Promise<void> {
  const { context, server, watch } = person;
  context.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== server.url && !/^(blob|data|about):$/.test(protocol)) watch.problems.push(`asked for ${request.url()}`);
  });
  context.on('dialog', (dialog) => watch.problems.push(`dialog: ${dialog.message()}`));
  await context.addInitScript(() => {
    const hit = () => console.error('script of a payload has run');
    Object.assign(globalThis, { hit, alert: hit });
  });
}

/** Nothing on the page that only markup of somebody else could have brought there. */
async function expectNoForeignMarkup(page: Page): Promise<void> {
  const found = await page.evaluate(() => {
    const TAGS = 'script:not([src^="/assets/boot."]), iframe, frame, object, embed, base, style, audio, video, marquee, math, xmp';
    const wrong = [...document.querySelectorAll(TAGS)].map(({ tagName }) => tagName);
    for (const element of document.querySelectorAll('*')) {
      for (const { name, value } of element.attributes) {
        const link = ['href', 'src', 'action', 'formaction', 'data', 'poster', 'background'].includes(name);
        const own = ['', location.origin].includes(new URL(value || '#', location.href).origin.replace('null', '')) || /^(blob|data:image)/.test(value);
        if (/^on/i.test(name) || name === 'srcdoc' || name === 'style' || (link && (!own || /^\s*javascript/i.test(value)))) {
          wrong.push(`${element.tagName} ${name}=${value}`);
        }
      }
    }
    return wrong;
  });
  expect(found).toEqual([]);
}

/** Types each text into a box of the page and presses the button, as fast as the page takes it. */
async function typeAll(page: Page, box: string, button: string, texts: string[]): Promise<void> {
  await page.evaluate(
    async ({ box, button, texts }) => {
      const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value')!.set!;
      const rest = () => new Promise((resolve) => setTimeout(resolve));
      for (const text of texts) {
        const area = document.querySelector<HTMLTextAreaElement>(box)!;
        set.call(area, text);
        area.dispatchEvent(new InputEvent('input', { bubbles: true }));
        await rest();
        document.querySelector<HTMLButtonElement>(button)!.click();
        while (area.value !== '') await rest();
      }
    },
    { box, button, texts },
  );
}

test('the list is of payloads that work where nothing stands against them', async ({ context }) => {
  expect(ALL).toHaveLength(COUNT);
  await context.route('**', (route) =>
    route.request().url() === 'http://open.example/'
      ? route.fulfill({ contentType: 'text/html', body: '<!doctype html><body></body>' })
      : route.abort(),
  );
  const page = await context.newPage();
  await page.goto('http://open.example/');
  const hits = await page.evaluate(async (texts) => {
    const hits = new Set<number>();
    await Promise.all(
      texts.map(async (text, n) => {
        const frame = document.body.appendChild(document.createElement('iframe'));
        const inside = frame.contentWindow! as Window & { hit?: () => void };
        inside.hit = () => hits.add(n);
        (globalThis as { hit?: () => void }).hit = () => undefined;
        inside.document.write(`<!doctype html><body>${text}`);
        inside.document.close();
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }),
    );
    return hits.size;
  }, ALL);
  test.info().annotations.push({ type: 'payloads', description: `${hits} of ${ALL.length} run in a page without defences` });
  expect(hits).toBeGreaterThan(100);
});

test('every payload as a message is text', async ({ alice, bob }) => {
  test.setTimeout(180_000);
  for (const person of [alice, bob]) await guard(person);
  await meet(alice, bob);
  // Of a long conversation only a part is drawn: as many at once as are drawn for certain.
  for (let n = 0; n < ALL.length; n += 150) {
    const some = ALL.slice(n, n + 150);
    await typeAll(alice.page, 'textarea', 'button.send', some);
    await alice.expectAllDelivered();
    for (const person of [alice, bob]) {
      const newest = async () => (await person.transcript()).slice(-some.length);
      await expect.poll(newest).toEqual(some.map((text) => ({ text, own: person === alice })));
      // Each message is one paragraph with one text in it.
      const odd = await person.messages.evaluateAll(
        (articles) =>
          articles.filter(({ children }) => children.length !== 1 || children[0]!.childElementCount !== 0).length,
      );
      expect(odd).toBe(0);
      await expectNoForeignMarkup(person.page);
    }
  }
  for (const person of [alice, bob]) {
    await person.reload();
    await expect(person.message(ALL.at(-1)!)).toBeVisible();
    await expectNoForeignMarkup(person.page);
  }
});

test('every payload as a name is text', async ({ alice, bob, person }) => {
  test.setTimeout(180_000);
  for (const somebody of [alice, bob]) await guard(somebody);
  await meet(alice, bob);
  await bob.openConversation('Alice');
  await alice.goto('/settings');
  await expect(alice.page.locator('#name')).toHaveValue('Alice');
  const shown = bob.page.getByRole('heading', { level: 2 }).or(bob.page.getByRole('heading', { level: 1 }));
  await expect(shown.filter({ hasText: 'Alice' }).first()).toBeVisible();
  const names = ALL.filter((name) => cleaned(name) === name);
  expect(names.length).toBeGreaterThan(ALL.length - 50);
  for (const name of names) {
    await alice.page.evaluate(async (name) => {
      const box = document.querySelector<HTMLInputElement>('#name')!;
      const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')!.set!;
      const button = box.form!.querySelector('button')!;
      while (button.disabled) await new Promise((resolve) => setTimeout(resolve));
      set.call(box, name);
      box.dispatchEvent(new InputEvent('input', { bubbles: true }));
      await new Promise((resolve) => setTimeout(resolve));
      button.click();
    }, name);
    await bob.page.waitForFunction(
      (name) => [...document.querySelectorAll('main h1, main h2')].some(({ textContent }) => textContent === name),
      name,
      { polling: 10 },
    );
  }
  // What would turn the text around it is left out.
  const marked = ALL.find((name) => /[\u200e\u200f\u202a-\u202e]/.test(name) && name.length < 100)!;
  await alice.page.locator('#name').fill(marked);
  await alice.button('Save name').click();
  await expect(shown.filter({ hasText: cleaned(marked) }).first()).toBeVisible();
  await expectNoForeignMarkup(alice.page);
  await expectNoForeignMarkup(bob.page);

  // Wherever else a name is shown: some of them, by one who was never met.
  for (const [n, name] of SOME.slice(0, 4).entries()) {
    await alice.page.locator('#name').fill(name);
    await alice.button('Save name').click();
    await expect(alice.page.getByText('Saved', { exact: true })).toBeVisible();
    const carol = await person(`Carol ${n}`);
    await guard(carol);
    await carol.openLink(await alice.shareContact());
    await expect(carol.page.getByText(name).first()).toBeVisible();
    await expectNoForeignMarkup(carol.page);
    await carol.addContact();
    await expect(carol.conversationWith(name)).toBeVisible();
    await carol.showSafetyCode();
    await expectNoForeignMarkup(carol.page);
    await carol.goto('/settings');
    await carol.button(`Block ${name}`).click();
    await expect(carol.page.getByRole('alertdialog')).toContainText(name);
    await expectNoForeignMarkup(carol.page);
    await carol.context.close();
    await alice.goto('/settings');
  }
});

test('payloads in letters are text', async ({ alice, bob }) => {
  test.setTimeout(SOME.length * 10_000 + 60_000);
  for (const person of [alice, bob]) await guard(person);
  const all = ALL.join('\n');
  for (const letter of [all, ...SOME]) {
    const link = await alice.writeLetter(letter);
    await expectNoForeignMarkup(alice.page);
    await bob.page.goto('about:blank');
    await bob.openLink(link);
    const paragraph = bob.letter.locator('[dir=auto]').filter({ hasText: letter.slice(0, 1) }).last();
    expect(await paragraph.evaluate((element) => [element.textContent, element.childElementCount])).toEqual([letter, 0]);
    await expectNoForeignMarkup(bob.page);
  }
});

test('payloads in a room are text', async ({ alice, bob }) => {
  test.setTimeout(180_000);
  for (const person of [alice, bob]) await guard(person);
  const [a, b] = [new Guest(alice), new Guest(bob)];
  const link = await a.make({ history: 500 });
  // A name has no characters that mislead or control.
  const name = SOME.find((text) => !/[\p{Cc}\p{Cf}]/u.test(text) && text.length > 20 && text.includes('<'))!;
  await a.join(link, name);
  await b.join(link);
  await expect(b.people.filter({ hasText: name })).toHaveCount(1);
  const some = ALL.filter((_, n) => n % 5 === 0);
  await typeAll(alice.page, 'textarea', 'button.send', some);
  for (const person of [alice, bob]) {
    await expect.poll(() => person.transcript(), { timeout: 60_000 }).toEqual(some.map((text) => ({ text, own: person === alice })));
    await expectNoForeignMarkup(person.page);
  }
  await bob.button(name).click();
  await expect(bob.dialog).toContainText(name);
  await expectNoForeignMarkup(bob.page);
});

test('payloads in the fragment of an address do nothing', async ({ alice, bob }) => {
  test.setTimeout(120_000);
  for (const person of [alice, bob]) await guard(person);
  await meet(alice, bob);
  for (const path of ['/i#', '/i#~', '/chat#', '/letter#', '/r#', '/rooms#', '/#']) {
    await bob.goto(path);
    await bob.page.evaluate(
      async ({ texts, start }) => {
        for (const text of texts) {
          location.hash = start + text;
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      },
      { texts: ALL, start: path.split('#')[1]! },
    );
    await expectNoForeignMarkup(bob.page);
    // And loaded with it.
    await bob.page.goto('about:blank');
    await bob.goto(`${path}<img src=x onerror=hit()>`);
    await expectNoForeignMarkup(bob.page);
  }
  await bob.goto('/i#<img src=x onerror=hit()>');
  await expect(bob.alert).toContainText(/not complete/i);
});

/** A SIM file without a password, as docs/protocol.md describes it, with any name. */
function simFile(name: string, origin: string): string {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const text = (value: string) => Buffer.concat([number(Buffer.byteLength(value)), Buffer.from(value)]);
  const now = Buffer.alloc(8);
  now.writeBigUInt64BE(BigInt(Date.now()));
  const body = Buffer.concat([Buffer.of(0, 1), randomBytes(32), text(name), text(origin), now]);
  const check = createHash('sha256').update('rly-sim-1.').update(body).digest().subarray(0, 8);
  return `rly-sim-1.${Buffer.concat([body, check]).toString('base64url')}`;
}

test('payloads in a SIM file are text', async ({ person, server }, info) => {
  test.setTimeout(SOME.length * 10_000 + 60_000);
  for (const [n, name] of SOME.entries()) {
    const alice = await person(`${n}`);
    await guard(alice);
    const file = info.outputPath(`${n}.sim`);
    await writeFile(file, simFile(name, server.url));
    await alice.importSim(file);
    await expectNoForeignMarkup(alice.page);
    await alice.goto('/settings');
    await expect(alice.textbox('Your name')).toHaveValue(cleaned(name));
    await expectNoForeignMarkup(alice.page);
    await alice.context.close();
  }
});
