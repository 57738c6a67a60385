// The browser is killed, all its processes at once, at each step of storing and sending that an act
// takes, and started again on what is on the disk. `RLY_CRASH_ROUNDS=10` kills ten times at each,
// in all acts.
import { meet } from '../support/fixtures.js';
import { phase } from '../support/messenger.js';
import { type Line, type Person, mine, theirs } from '../support/person.js';
import type { Profile } from '../support/profile.js';
import type { Wire } from '../support/wire.js';
import { expect, expectNothingUsedTwice, test } from '../support/wired.js';

const ROUNDS = Number(process.env.RLY_CRASH_ROUNDS ?? 1);
/** Acts that take a fresh browser for each kill: only where rounds are asked for. */
const longer = process.env.RLY_CRASH_ROUNDS ? test : test.skip;
/** More points than any act has: an act that never ends fails. */
const POINTS = 60;

/** Something that a person does and that is interrupted. `n` counts the tries. */
interface Scene {
  /** What comes before it: gives the browser that will be killed. */
  prepare: (n: number) => Promise<Profile>;
  /** The act itself, until all that it brings about can be seen. */
  act: (n: number) => Promise<void>;
  /** What the person has seen of it when the browser is killed. */
  look?: (n: number) => Promise<void>;
  /** The browser starts again. Nothing that was seen is lost, and what was not done can be done. */
  recover: (n: number) => Promise<void>;
}

/** Plays the scene and kills at a point not met before, until there is none left. */
async function killAtEachPoint(wire: Wire, scene: Scene, expected: string[]): Promise<void> {
  test.setTimeout(ROUNDS * 480_000);
  const kills = new Map<string, number>();
  for (let n = 1; ; n += 1) {
    expect(n, [...kills.keys()].join('; ')).toBeLessThan(POINTS * ROUNDS);
    const browser = await scene.prepare(n);
    await wire.still();
    const caught = wire.catchAt((point) => (kills.get(point) ?? 0) >= ROUNDS);
    const acted = scene.act(n).then(() => wire.still());
    const point = await Promise.race([caught, acted]);
    if (point === undefined) break;
    // It will never end now.
    acted.catch(() => undefined);
    await scene.look?.(n);
    await browser.kill();
    kills.set(point, (kills.get(point) ?? 0) + 1);
    await test.step(`killed at: ${point}`, () => scene.recover(n));
  }
  wire.release();
  test.info().annotations.push({
    type: 'kills',
    description: [...kills].map(([point, times]) => `${times} at ${point}`).join('; '),
  });
  expect([...kills.keys()]).toEqual(expect.arrayContaining(expected));
  expectNothingUsedTwice(wire);
}

/** What is on the page, if that is not standing still itself. */
function glance<T>(looking: Promise<T>, otherwise: T): Promise<T> {
  const late = new Promise<T>((resolve) => setTimeout(() => resolve(otherwise), 1000));
  return Promise.race([looking.catch(() => otherwise), late]);
}

/**
 * Whether there is a SIM, from the messenger itself. Until it speaks, a page shows what was so the last
 * time, by a note in its local storage, which a browser writes to the disk only after some seconds.
 */
async function hasNoSim({ page }: Person): Promise<boolean> {
  return (await phase(page)) === 'NoSim';
}

/** The newest lines: of a long conversation a page that has just been opened draws no more than 100. */
function newest(lines: Line[]): Line[] {
  return lines.slice(-80);
}

/** Both sides show the same, in the same order, and nothing came between them. */
async function expectSameTalk(one: Person, other: Person): Promise<Line[]> {
  await one.expectAllDelivered();
  await other.expectAllDelivered();
  const turned = (lines: Line[]) => lines.map(({ own, text }) => ({ own: !own, text }));
  await expect(async () =>
    expect(newest(turned(await other.transcript()))).toEqual(newest(await one.transcript())),
  ).toPass({ timeout: 15_000 });
  // No gap, no fork, no new keys: nobody's state was lost or used twice.
  for (const person of [one, other]) await expect(person.log.locator('.note')).toHaveCount(0);
  return newest(await one.transcript());
}

/** It is what both sides showed before, with the next line or without; with it, if that was shown. */
function expectGrown(now: Line[], before: Line[], next: Line, shown: Line[]): void {
  const grown = newest([...before, next]);
  expect([before, grown]).toContainEqual(now);
  if (shown.some(({ text }) => text === next.text)) expect(now).toEqual(grown);
}

test('killed at each step of sending, what was shown is sent once', async ({ wire, stepping, bob }) => {
  const browser = await stepping('Alice');
  let alice = await browser.start();
  await meet(alice, bob);
  await alice.expectAllDelivered();
  const chat = new URL(alice.page.url());
  let before = await expectSameTalk(alice, bob);
  let shown: Line[] = [];
  await killAtEachPoint(
    wire,
    {
      prepare: async () => browser,
      act: async (n) => {
        await alice.say(`line ${n}.`);
        await alice.expectState(`line ${n}.`, 'delivered');
      },
      look: async () => {
        shown = await glance(alice.transcript(), []);
      },
      recover: async (n) => {
        alice = await browser.start();
        await alice.goto(chat.pathname + chat.hash);
        await expect.poll(async () => (await alice.transcript()).length).toBeGreaterThanOrEqual(before.length);
        const now = await expectSameTalk(alice, bob);
        expectGrown(now, before, mine(`line ${n}.`), shown);
        before = now;
      },
    },
    ['store rows', 'storing rows', 'stored rows', 'send 4', 'sent 4', 'store rows, 2', 'stored rows, 2'],
  );
});

test('killed at each step of receiving, what was sent is heard once', async ({ wire, stepping, bob }) => {
  const browser = await stepping('Alice');
  let alice = await browser.start();
  await meet(alice, bob);
  await alice.expectAllDelivered();
  const chat = new URL(alice.page.url());
  let before = await expectSameTalk(alice, bob);
  await killAtEachPoint(
    wire,
    {
      prepare: async () => browser,
      act: async (n) => {
        await bob.say(`line ${n}.`);
        await alice.hears(`line ${n}.`);
        await bob.expectState(`line ${n}.`, 'delivered');
      },
      recover: async (n) => {
        alice = await browser.start();
        await alice.goto(chat.pathname + chat.hash);
        await alice.hears(`line ${n}.`);
        before = newest([...before, theirs(`line ${n}.`)]);
        expect(await expectSameTalk(alice, bob)).toEqual(before);
      },
    },
    ['store rows', 'storing rows', 'stored rows', 'send 3', 'sent 3', 'send 4', 'sent 4'],
  );
});

test('killed at each step of opening a letter, it can be read and answered', async ({ wire, stepping, alice }) => {
  const browser = await stepping('Bob');
  let bob = await browser.start();
  await bob.createSim();
  let link = '';
  let at = '';
  await killAtEachPoint(
    wire,
    {
      prepare: async (n) => {
        link = await alice.writeLetter(`letter ${n}.`);
        await bob.page.goto(link);
        await bob.ready();
        return browser;
      },
      act: async () => {
        await bob.button('Open').click();
        await expect(bob.letter).toBeVisible();
      },
      look: async () => {
        at = bob.page.url();
      },
      recover: async (n) => {
        bob = await browser.start();
        // Where the address bar was: at the link, or at the letter that is kept.
        await bob.page.goto(at);
        await bob.ready();
        const open = bob.button('Open');
        await expect(open.or(bob.letter)).toBeVisible();
        if (await open.isVisible()) await open.click();
        await expect(bob.letter).toContainText(`letter ${n}.`);
        await bob.goto('/chat');
        await expect(bob.waitingLetter('Alice')).toHaveCount(n);
      },
    },
    ['store rows', 'stored rows', 'ask import_contact', 'answered import_contact', 'store rows, 2', 'stored rows, 2'],
  );
  // All of them can still be answered. They are from one person, so they become one conversation.
  await bob.goto('/chat');
  await bob.waitingLetter('Alice').first().click();
  await bob.reply('the answer');
  await alice.openConversation('Bob');
  await alice.hears('the answer');
});

longer('killed at each step of the first answer, a SIM and the answer are there once', async ({ wire, stepping, alice }) => {
  let browser: Profile;
  let bob: Person;
  await killAtEachPoint(
    wire,
    {
      prepare: async (n) => {
        const link = await alice.writeLetter(`letter ${n}.`);
        browser = await stepping(`Bob ${n}.`);
        bob = await browser.start();
        await bob.openLink(link);
        await bob.textbox('Reply').fill(`answer ${n}.`);
        await bob.fillName();
        return browser;
      },
      act: async (n) => {
        await bob.button('Send reply').click();
        await bob.inConversation();
        await bob.expectState(`answer ${n}.`, 'delivered');
      },
      recover: async (n) => {
        bob = await browser.start();
        await bob.goto('/chat');
        await expect(bob.conversations.or(bob.waitingLetter('Alice'))).toBeVisible();
        if (await bob.waitingLetter('Alice').isVisible()) {
          await bob.waitingLetter('Alice').click();
          await bob.reply(`answer ${n}.`);
        } else {
          await bob.openConversation('Alice');
        }
        await alice.openConversation(`Bob ${n}.`);
        await alice.hears(`answer ${n}.`);
        expect(await expectSameTalk(alice, bob)).toEqual([mine(`letter ${n}.`), theirs(`answer ${n}.`)]);
        await browser.remove();
      },
    },
    ['store rows', 'stored rows', 'ask register_sim', 'answered register_sim', 'send 4', 'sent 4', 'send 9', 'sent 9'],
  );
});

longer('killed at each step of hearing the first answer, the contact is there once', async ({ wire, stepping, person }) => {
  const browser = await stepping('Alice');
  let alice = await browser.start();
  let bob: Person;
  await killAtEachPoint(
    wire,
    {
      prepare: async (n) => {
        const link = await alice.writeLetter(`letter ${n}.`);
        await alice.goto('/chat');
        bob = await person(`Bob ${n}.`);
        await bob.openLink(link);
        await expect(alice.page.getByText(/opened at/i).first()).toBeVisible();
        return browser;
      },
      act: async (n) => {
        await bob.reply(`answer ${n}.`);
        await expect(alice.conversationWith(`Bob ${n}.`)).toBeVisible();
        await bob.expectState(`answer ${n}.`, 'delivered');
      },
      recover: async (n) => {
        alice = await browser.start();
        await alice.openConversation(`Bob ${n}.`);
        await alice.hears(`answer ${n}.`);
        expect(await expectSameTalk(alice, bob)).toEqual([mine(`letter ${n}.`), theirs(`answer ${n}.`)]);
        await bob.context.close();
      },
    },
    ['store rows', 'stored rows', 'send 3', 'sent 3', 'send 9', 'sent 9'],
  );
});

longer('killed at each step of making a link, the one that was shown works', async ({ wire, stepping, bob }) => {
  let browser: Profile;
  let alice: Person;
  let shown = '';
  await killAtEachPoint(
    wire,
    {
      prepare: async (n) => {
        browser = await stepping('Alice');
        alice = await browser.start();
        await alice.goto('/letter');
        await alice.textbox('Letter').fill(`letter ${n}.`);
        await alice.fillName();
        return browser;
      },
      act: async () => {
        await alice.button('Create link').click();
        await alice.shownLink();
      },
      look: async () => {
        shown = await glance(alice.inviteLink.inputValue({ timeout: 500 }), '');
      },
      recover: async (n) => {
        alice = await browser.start();
        await alice.goto('/chat');
        const none = await hasNoSim(alice);
        if (!none) await alice.hasSim();
        let link: string;
        if (!none && (await alice.button('Show link').isVisible())) {
          link = await alice.pendingLink();
          expect(link).toContain(shown);
        } else {
          expect(shown).toBe('');
          link = await alice.writeLetter(`letter ${n}.`);
        }
        await bob.page.goto('about:blank');
        await bob.openLink(link);
        await expect(bob.letter).toContainText(`letter ${n}.`);
        await browser.remove();
      },
    },
    ['store rows', 'stored rows', 'ask register_sim', 'answered register_sim', 'ask share_contact', 'answered share_contact', 'send 9', 'sent 9'],
  );
});

longer('killed at each step of making a SIM, there is one or none', async ({ wire, stepping }) => {
  let browser: Profile;
  let alice: Person;
  let shown = false;
  await killAtEachPoint(
    wire,
    {
      prepare: async () => {
        browser = await stepping('Alice');
        alice = await browser.start();
        return browser;
      },
      // From the first page on, so that storage itself is made in it.
      act: () => alice.createSim(),
      look: async () => {
        shown = await glance(alice.button('Download SIM').or(alice.button('Share contact')).isVisible(), false);
      },
      recover: async () => {
        alice = await browser.start();
        await alice.goto('/chat');
        const none = await hasNoSim(alice);
        expect(none && shown).toBe(false);
        if (none) await alice.createSim();
        await alice.shareContact();
        await alice.goto('/settings');
        await expect(alice.textbox('Your name')).toHaveValue('Alice');
        await browser.remove();
      },
    },
    ['store keys', 'stored keys', 'store rows', 'storing rows', 'stored rows', 'send 9', 'sent 9'],
  );
});
