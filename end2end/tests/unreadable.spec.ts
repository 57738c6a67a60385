import { expectAccessible, expectFits } from '../support/looks.js';
import { expect, test } from '../support/wired.js';

test('an answer that cannot be read: it is said at the link, which goes on waiting, and so does a new one', async ({
  alice,
  bob,
  wire,
}) => {
  await bob.openLink(await alice.writeLetter('can you read me?'));
  wire.spoilNext();
  await bob.reply('I can');

  await alice.goto('/chat');
  const said = alice.page.getByText(/^Answered at \d\d:\d\d by something unreadable\. Make a new link\.$/);
  await expect(said).toBeVisible();
  await expect(alice.conversations).toHaveCount(0);
  await expectAccessible(alice.page, 'an unreadable answer');
  await alice.page.setViewportSize({ width: 320, height: 640 });
  await expectFits(alice.page, 'an unreadable answer');
  await alice.page.setViewportSize({ width: 1280, height: 720 });
  await alice.reload();
  await expect(said).toBeVisible();

  await bob.openLink(await alice.writeLetter('once more'));
  await bob.reply('now it works');
  await alice.openConversation('Bob');
  await alice.hears('now it works');
});
