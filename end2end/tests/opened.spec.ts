// What became of a letter that was opened, wherever its reader looks.
import { expect, test } from '../support/fixtures.js';

test('a letter opened in a tab that is closed waits in the other tab, and comes back with the SIM', async ({
  alice,
  bob,
  person,
}) => {
  const link = await alice.writeLetter('answer me later');
  await bob.createSim();
  const file = await bob.exportSim();
  await bob.goto('/chat');
  await expect(bob.connection).toHaveAttribute('data-connection', 'online');
  const tab = await bob.newTab();
  await tab.openLink(link);
  // Without a reload: the messenger of the first tab leads, and has heard of it.
  await expect(bob.waitingLetter('Alice')).toBeVisible();
  await tab.page.close();
  await expect(bob.waitingLetter('Alice')).toBeVisible();
  await bob.expectCopied();
  await bob.closeTabs();

  const next = await person('Bob');
  await next.importSim(file);
  await next.waitingLetter('Alice').click();
  await next.reads('answer me later');
  await next.reply('later it is');
  await alice.openConversation('Bob');
  await alice.hears('later it is');
});

test('who opens a link again after answering it is led to the conversation', async ({ alice, bob }) => {
  const link = await alice.writeLetter('once is enough');
  await bob.openLink(link);
  await bob.reply('answered');
  const conversation = bob.page.url();
  const again = await bob.newTab();
  await again.pressOpen(link);
  await again.inConversation();
  expect(again.page.url()).toBe(conversation);
  await expect(again.message('once is enough')).toBeVisible();
  await again.say('and on we go');
  await alice.openConversation('Bob');
  await alice.hears('and on we go');
  // Nothing leads to what was deleted: then it is a link like any other that was used.
  await bob.deleteContact('Alice');
  await again.page.goto('about:blank');
  bob.watch.expectStatus(409);
  await again.pressOpen(link);
  await expect(again.alert).toContainText(/already opened at \d\d:\d\d/i);
});

test('a link that was opened is not given away any more, also after a reload', async ({ alice, bob, carol }) => {
  const link = await alice.writeLetter('for one of you');
  await expect(alice.qr).toBeVisible();
  await bob.openLink(link);
  await expect(alice.page.getByText(/opened at \d\d:\d\d/i)).toBeVisible();
  await expect(alice.qr).toHaveCount(0);
  await expect(alice.inviteLink).toHaveCount(0);
  await alice.reload();
  await expect(alice.page.getByText(/opened at \d\d:\d\d/i)).toBeVisible();
  await expect(alice.textbox('Letter')).toHaveCount(0);
  await bob.reply('thank you');
  await expect(alice.page.getByText(/Bob.* answered\./)).toBeVisible();
  const shown = alice.page.url();
  await alice.button('Write another letter').click();
  await expect(alice.textbox('Letter')).toBeVisible();

  // The same in the dialog of the chat.
  await alice.goto('/chat');
  await alice.button('Share contact').click();
  await carol.openLink(await alice.shownLink());
  await expect(alice.dialog.getByText(/opened at \d\d:\d\d/i)).toBeVisible();
  await expect(alice.qr).toHaveCount(0);
  await alice.page.keyboard.press('Escape');

  // What it began is gone: nothing is left to say who it was.
  await alice.deleteContact('Bob');
  await alice.page.goto(shown);
  await expect(alice.page.getByText(/was answered or withdrawn/i)).toBeVisible();
});

test('what an answer may still come to is not removed without a question', async ({ alice, bob, carol }) => {
  const first = await alice.writeLetter('to be removed');
  const second = await alice.writeLetter('to be opened meanwhile');
  await bob.openLink(first);
  await alice.goto('/chat');
  const question = alice.page.getByRole('alertdialog');
  await alice.button('Remove').click();
  await expect(question).toContainText(/can then no longer answer/i);
  // Another link changes its state: the question stays.
  await carol.openLink(second);
  await expect(alice.page.getByText(/opened at \d\d:\d\d/i)).toHaveCount(2);
  await question.getByRole('button', { name: 'Cancel', exact: true }).click();
  await expect(question).toHaveCount(0);
  await expect(alice.page.getByText('to be removed')).toBeVisible();
  await alice.page
    .getByRole('listitem')
    .filter({ hasText: 'to be removed' })
    .getByRole('button', { name: 'Remove', exact: true })
    .click();
  await alice.confirm();
  await expect(alice.page.getByText('to be removed')).toHaveCount(0);
  await expect(alice.page.getByText('to be opened meanwhile')).toBeVisible();
});

test('an answer that comes late does not touch the link put in after it', async ({ alice, bob }) => {
  const first = await alice.writeLetter('the first');
  const second = await alice.writeLetter('the second');
  // Somebody else has the first one already.
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let answered = () => {};
  const done = new Promise<void>((resolve) => (answered = resolve));
  await bob.page.route('**/api/import_contact', async (route) => {
    await held;
    await route.fulfill({
      status: 410,
      contentType: 'application/json',
      body: JSON.stringify({ error: { code: 'invite_expired', message: 'over' } }),
    });
    answered();
  });
  bob.watch.expectStatus(410);
  await bob.page.goto(first);
  await bob.ready();
  await bob.button('Open').click();
  await expect(bob.page).toHaveURL(/\/i#~/);
  await bob.page.evaluate((link) => location.assign(link), second);
  await expect(bob.button('Open')).toBeVisible();
  release();
  await done;
  await bob.page.unroute('**/api/import_contact');
  // What came for the first one is written down by now: the store answers in order.
  await bob.button('Open').click();
  await bob.reads('the second');
  await bob.reload();
  await bob.reads('the second');
});

test('a name that cannot be seen or is too long is told, and what misleads is left out', async ({ alice, bob }) => {
  await alice.goto('/letter');
  await alice.textbox('Letter').fill('from somebody');
  await alice.textbox('Your name').fill('\u200b\u3164\u202e');
  await alice.button('Create link').click();
  await expect(alice.alert).toContainText(/write your name/i);
  await alice.textbox('Your name').fill('名'.repeat(60));
  await alice.button('Create link').click();
  await expect(alice.alert).toContainText(/too long/i);
  await alice.textbox('Your name').fill('\u2067Al\u202eice\u200f');
  await alice.button('Create link').click();
  await bob.openLink(await alice.shownLink());
  await expect(bob.page.getByRole('heading', { level: 1 })).toHaveText(/^From \u2068?Alice\u2069?$/);
});

test('who renames themselves is announced in the conversation', async ({ alice, bob }) => {
  await bob.openLink(await alice.writeLetter('who are you?'));
  await bob.reply('guess');
  await alice.openConversation('Bob');
  await bob.goto('/settings');
  await bob.textbox('Your name').fill('Robert');
  await bob.button('Save name').click();
  await expect(alice.log.getByText(/Bob.* is now called .*Robert/)).toBeVisible();
});
