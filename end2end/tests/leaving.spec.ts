import { meet } from '../support/fixtures.js';
import { mine, theirs } from '../support/person.js';
import { expect, test } from '../support/wired.js';

const start = [mine('a letter from Alice'), theirs('a reply from Bob')];

test('who leaves before a message is stored is asked to stay, and then it is sent', async ({ alice, bob }) => {
  await meet(alice, bob);
  // Storage that is slow: another tab keeps it busy.
  const busy = await alice.newTab();
  await busy.goto('/');
  await busy.page.evaluate(async () => {
    const database = await new Promise<IDBDatabase>((resolve) => {
      const opening = indexedDB.open('rly');
      opening.onsuccess = () => resolve(opening.result);
    });
    const rows = database.transaction('rows', 'readwrite').objectStore('rows');
    const free = new Promise((resolve) => addEventListener('free', resolve));
    let done = false;
    void free.then(() => (done = true));
    const goOn = () => {
      if (!done) rows.count().onsuccess = goOn;
    };
    goOn();
  });

  await alice.textbox('Message').fill('typed in a hurry');
  await alice.button('Send').click();
  const asked = alice.page.waitForEvent('dialog');
  // A page with a question open answers nobody, so this one is told to leave and not waited for.
  await alice.page.evaluate(() => void setTimeout(() => location.assign('/settings')));
  const question = await asked;
  expect(question.type()).toBe('beforeunload');
  await question.dismiss();
  await expect(alice.message('typed in a hurry')).toHaveCount(0);

  await busy.page.evaluate(() => dispatchEvent(new Event('free')));
  await bob.hears('typed in a hurry');
  await alice.expectState('typed in a hurry', 'delivered');
  await alice.expectConversation([...start, mine('typed in a hurry')]);
  // Now nothing is lost by leaving, and nobody is asked.
  alice.page.once('dialog', () => alice.watch.problems.push('asked for no reason'));
  await alice.goto('/settings');
});

test('what a tab stored and could not tell before it was closed, the other tab shows', async ({ stepping, wire, bob }) => {
  const alice = await (await stepping('Alice')).start();
  await meet(alice, bob);
  const second = await alice.secondTab();
  await second.expectConversation(start);
  await wire.still();

  const stored = wire.catchAt((point) => point !== 'stored rows');
  const said = bob.say('to a tab that is about to close');
  await stored;
  await said;
  await alice.page.close();
  await second.hears('to a tab that is about to close');
  await second.say('still here');
  await bob.hears('still here');
  await second.expectConversation([...start, theirs('to a tab that is about to close'), mine('still here')]);
});
