// An old copy of a browser's profile is put back: what it knows of keys is out of date.
import { meet } from '../support/fixtures.js';
import { type Person, mine, theirs } from '../support/person.js';
import { FRAME, type Wire } from '../support/wire.js';
import { expect, expectNothingUsedTwice, test } from '../support/wired.js';

const REJOINED = 'New keys were agreed on.';
const start = [mine('a letter from Alice'), theirs('a reply from Bob')];

/** Types of the frames that went to the server from here on. */
function watchFrames(wire: Wire): () => (number | undefined)[] {
  const from = wire.sent.length;
  return () => wire.sent.slice(from).map((frame) => frame[1]);
}

async function expectKeysChanged(person: Person): Promise<void> {
  await expect(person.log.locator('.note').filter({ hasText: REJOINED })).not.toHaveCount(0);
}

for (const ended of ['closed', 'killed'] as const) {
  test(`an old profile put back after the newer one was ${ended} is noticed and re-joins`, async ({ wire, profile, bob }) => {
    test.setTimeout(120_000);
    const browser = await profile('Alice');
    let alice = await browser.start();
    await meet(alice, bob);
    await alice.expectAllDelivered();
    const chat = new URL(alice.page.url());
    await browser.close();
    const old = await browser.copy();

    // Life goes on, in keys that the copy does not know.
    alice = await browser.start();
    await alice.goto(chat.pathname + chat.hash);
    for (const n of [1, 2, 3]) {
      await alice.say(`newer ${n}.`);
      await bob.hears(`newer ${n}.`);
      await bob.say(`answer ${n}.`);
      await alice.hears(`answer ${n}.`);
    }
    await alice.expectAllDelivered();
    await bob.expectAllDelivered();
    await (ended === 'closed' ? browser.close() : browser.kill());
    await bob.say('said while she was away');
    await bob.expectState('said while she was away', 'sent');

    await browser.putBack(old);
    alice = await browser.start();
    const frames = watchFrames(wire);
    const begun = Date.now();
    await alice.goto(chat.pathname + chat.hash);
    // At once, before it can know: it is kept until it goes out under new keys.
    await alice.say('from the old profile');
    await bob.hears('from the old profile');
    await alice.hears('said while she was away');
    test.info().annotations.push({ type: 'rejoined', description: `heard ${Date.now() - begun} ms after the page was asked for` });
    await alice.expectState('from the old profile', 'delivered');
    await bob.expectAllDelivered();
    await expectKeysChanged(alice);
    await expectKeysChanged(bob);

    // Held until the vault had told: first it was written with an old generation, then read.
    const types = frames();
    const [firstSend, read] = [types.indexOf(FRAME.send), types.indexOf(FRAME.vaultRead)];
    expect(read).toBeGreaterThan(types.indexOf(FRAME.vaultWrite));
    expect(firstSend).toBeGreaterThan(read);

    // Nothing was lost or doubled: the copy has what it had, and what was sent since.
    await alice.say('and on');
    await bob.hears('and on');
    await bob.say('and back');
    await alice.hears('and back');
    await alice.expectAllDelivered();
    await bob.expectAllDelivered();
    const ours = await alice.transcript();
    expect(ours.filter(({ own }) => own)).toEqual([start[0], mine('from the old profile'), mine('and on')]);
    expect(ours.filter(({ own }) => !own)).toEqual([start[1], theirs('said while she was away'), theirs('and back')]);
    expect(await bob.transcript().then((lines) => lines.filter(({ own }) => !own).map(({ text }) => text))).toEqual([
      'a letter from Alice',
      ...[1, 2, 3].map((n) => `newer ${n}.`),
      'from the old profile',
      'and on',
    ]);
    expectNothingUsedTwice(wire);
  });
}
