import { expect, meet, test } from '../support/fixtures.js';
import { expectAccessible, expectFits } from '../support/looks.js';
import { type Person, mine, theirs } from '../support/person.js';

test('a server that lost its data: it is said, nothing here is lost, and a new link goes on', async ({
  alice,
  bob,
  server,
}) => {
  test.setTimeout(120_000);
  await meet(alice, bob);
  await alice.writeLetter('nobody has opened this yet');
  for (const person of [alice, bob]) person.watch.expectOutage();
  await server.stop();
  await server.loseData();
  await server.run();

  // Each waits longer from try to try.
  const connected = (person: Person) => expect(person.connection).toHaveText(/^connected$/i, { timeout: 60_000 });
  await alice.openConversation('Bob');
  await connected(alice);
  await expect(alice.page.getByText('The server no longer knows this link.')).toBeVisible();
  await bob.openConversation('Alice');
  await connected(bob);
  for (const person of [alice, bob]) {
    await expect(person.page.getByText('cannot be reached here any more')).toBeVisible();
    await person.page.setViewportSize({ width: 320, height: 640 });
    await expectFits(person.page, person.name);
    await expectAccessible(person.page, person.name);
    await person.page.setViewportSize({ width: 1280, height: 720 });
  }

  await bob.openLink(await alice.shareContact());
  await bob.addContact();
  await expect(bob.conversations).toHaveCount(1);
  await bob.say('here again');
  await alice.openConversation('Bob');
  await alice.hears('here again');
  await alice.say('so am I');
  await bob.hears('so am I');
  await expect(alice.conversations).toHaveCount(1);
  await alice.expectConversation([
    mine('a letter from Alice'),
    theirs('a reply from Bob'),
    theirs('here again'),
    mine('so am I'),
  ]);
});
